"""How much a warm process saves: a trial in it against the same training as a new process.

    make bench        (or: python benchmarks/trial_against_process.py --pairs 5)

Interleaved pairs on the demo's SDXL, one CPU thread each: the same pictures, steps, batch, rank,
optimizer and targets. Prints every pair and the median ratio.
"""

import argparse
import itertools
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

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
        _report([(warm(), cold()) for _ in range(pairs)])


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


@dataclass(frozen=True)
class Warm:
    """Seconds of a trial in a warm process.

    step: median. first: what the first step took beyond that, with the adapters put on. last: from
    the last step to the end, with saving and taking them off.
    """

    whole: float
    step: float
    first: float
    last: float

    @property
    def fixed(self) -> float:
        return self.first + self.last

    @property
    def steps(self) -> float:
        return self.whole - self.fixed


def _warm_trial(folder: Path) -> Callable[[], Warm]:
    data = prepared_data(folder)
    trainer, settings = Trainer(data.model, data), trial_settings(BATCH, STEPS, PICTURES)

    def run() -> Warm:
        ends: list[float] = []
        started = time.perf_counter()
        trainer.train(
            settings, folder / "warm", "trial", observe=lambda _: ends.append(time.perf_counter())
        )
        ended = time.perf_counter()
        step = median(b - a for a, b in itertools.pairwise(ends))
        return Warm(ended - started, step, ends[0] - started - step, ended - ends[-1])

    return run


@dataclass(frozen=True)
class Cold:
    """Seconds of a new process. parts: by its own clock; the rest is Python and its imports."""

    whole: float
    parts: dict[str, float]


def _cold_process(folder: Path) -> Callable[[], Cold]:
    script = Path(__file__).with_name("reference_loop.py")
    command = [sys.executable, script, "--model", WEIGHTS, "--images", folder / "images"]
    command += ["--output", folder / "cold", "--steps", STEPS, "--batch-size", BATCH]
    command += ["--rank", RANK, "--learning-rate", RATE]
    arguments = [str(part) for part in command]

    def run() -> Cold:
        started = time.perf_counter()
        ended = subprocess.run(arguments, check=True, capture_output=True, text=True)
        whole = time.perf_counter() - started
        parts = json.loads(ended.stdout.splitlines()[-1])
        return Cold(whole, {"imports": whole - sum(parts.values())} | parts)

    return run


def _report(pairs: list[tuple[Warm, Cold]]) -> None:
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread")
    print(f"{STEPS} steps at batch {BATCH}, rank {RANK}, SDXL of the demo, 64 px")
    print("pair  warm trial  new process  ratio")
    for number, (warm, cold) in enumerate(pairs, start=1):
        ratio = cold.whole / warm.whole
        print(f"{number:>4}  {warm.whole:>8.2f} s  {cold.whole:>9.2f} s  {ratio:>5.2f}")
    print(f"median ratio: {median(c.whole / w.whole for w, c in pairs):.2f}")
    print("where the seconds go, medians")
    parts = {_PARTS[name]: median(getattr(w, name) for w, _ in pairs) for name in _PARTS}
    print("  warm trial: " + _said(parts))
    names = pairs[0][1].parts
    print("  new process: " + _said({n: median(c.parts[n] for _, c in pairs) for n in names}))


_PARTS = {
    "steps": "steps",
    "first": "adapters on and what the first step takes longer",
    "last": "saving, adapters off",
    "fixed": "fixed in all",
}


def _said(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())


if __name__ == "__main__":
    main()
