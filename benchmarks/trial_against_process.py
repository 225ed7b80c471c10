"""How much a warm process saves: a trial in it against the same training as a new process.

    make bench        (or: python benchmarks/trial_against_process.py --pairs 5)

Interleaved pairs on the demo's SDXL, one CPU thread each: the same pictures, steps, batch, rank,
optimizer and targets. Prints every pair and the median ratio.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from optimizer.config.dataset import dataset_config_from
from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.data.records import scan
from optimizer.demo import layout
from optimizer.logs import quiet_libraries
from optimizer.models.loading import load_model
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer

STEPS, BATCH, PICTURES, RANK, RATE = 50, 4, 20, 8, 1e-3
WEIGHTS = Path(layout.__file__).parent / "weights" / "sdxl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    quiet_libraries()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        layout.save_drawings(folder / "images", layout.subject_drawings(PICTURES, 64, seed=1))
        warm, cold = _warm_trial(folder), _cold_process(folder)
        warm()  # a worker's first trial fills the caches; every later one finds them full
        _report([(_seconds(warm), _seconds(cold)) for _ in range(pairs)])


def prepared_data(folder: Path) -> PreparedData:
    """The pictures in a folder, on the demo's SDXL."""
    config = ModelConfig(family="sdxl", pretrained_model_name_or_path=str(WEIGHTS))
    model = load_model(config, torch.device("cpu"))
    subset = {"image_dir": str(folder / "images"), "num_repeats": 1, "caption_extension": ".txt"}
    table = {"resolution": 64, "batch_size": BATCH, "subsets": [subset]}
    dataset = dataset_config_from({"datasets": [table]}, folder / "dataset.toml")
    return PreparedData(scan(dataset), model, TensorStore(folder / "cache"))


def trial_settings(batch: int, steps: int, pictures: int) -> Hyperparameters:
    """As the reference loop trains; whole epochs of at least so many steps."""
    epochs = -(-steps * batch // pictures)
    return Hyperparameters(
        learning_rate=RATE,
        network_dim=RANK,
        network_alpha=float(RANK),
        targets="attention",
        optimizer_type="AdamW8bit",
        lr_scheduler="cosine",
        train_batch_size=batch,
        max_train_epochs=epochs,
        save_every_n_epochs=epochs,
        gradient_checkpointing=False,
    )


def _warm_trial(folder: Path) -> Callable[[], object]:
    data = prepared_data(folder)
    trainer, settings = Trainer(data.model, data), trial_settings(BATCH, STEPS, PICTURES)
    return lambda: trainer.train(settings, folder / "warm", "trial")


def _cold_process(folder: Path) -> Callable[[], object]:
    script = Path(__file__).with_name("reference_loop.py")
    command = [sys.executable, script, "--model", WEIGHTS, "--images", folder / "images"]
    command += ["--output", folder / "cold", "--steps", STEPS, "--batch-size", BATCH]
    command += ["--rank", RANK, "--learning-rate", RATE]
    arguments = [str(part) for part in command]
    return lambda: subprocess.run(arguments, check=True, capture_output=True)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _report(pairs: list[tuple[float, float]]) -> None:
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread")
    print(f"{STEPS} steps at batch {BATCH}, rank {RANK}, SDXL of the demo, 64 px")
    print("pair  warm trial  new process  ratio")
    for number, (warm, cold) in enumerate(pairs, start=1):
        print(f"{number:>4}  {warm:>8.2f} s  {cold:>9.2f} s  {cold / warm:>5.2f}")
    print(f"median ratio: {statistics.median(c / w for w, c in pairs):.2f}")


if __name__ == "__main__":
    main()
