"""What 10,000 pictures and 1,000 stored trials cost: seconds of every stage, and its memory.

    python benchmarks/scale.py --pictures 10000
    python benchmarks/scale.py --pictures 200 --trials 100    (about a minute, to try it)

1. Captioned pictures of five shapes through the demo's SD1.5, one CPU thread, each stage in a
   process of its own: `optimizer dataset check`, caching latents (cold, then again), opening the
   study (the caches full), an epoch of training. Resident memory is sampled all along a stage.
2. `optimizer run` from its start to the first trial beyond those stored, `optimizer status` and
   `optimizer best`, with no trials stored and with many, on SQLite.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil
import torch
from optuna.trial import FrozenTrial, create_trial
from platformdirs import user_cache_path

from optimizer.config.study import StudyConfig, load_study
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.demo.layout import lay_out
from optimizer.demo.world import base_drawing
from optimizer.logs import quiet_libraries
from optimizer.models.loading import load_model
from optimizer.report.dataset import check_dataset
from optimizer.scoring.health import Health
from optimizer.scoring.objective import PARTS, Part, Scores
from optimizer.space.search_space import distribution_of, stored_name
from optimizer.study.open import open_study
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer
from optimizer.trial import attrs
from optimizer.trial.record import TrialFolder
from optimizer.trial.workbench import open_workbench, training_records

SHAPES = [(64, 64), (80, 52), (52, 80), (104, 40), (40, 104)]
"""Width and height in pixels: five buckets."""
SAMPLED_AT = (0.1, 0.25, 0.5, 0.75, 1.0)
STUDY = "studies/demo_sd15.toml"
BATCH = 4
LORA = "lora-000004.safetensors"
OPTIMIZER = [sys.executable, "-m", "optimizer.cli.main"]
Stage = Callable[[StudyConfig, "Watch"], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    quiet_libraries()
    if chosen.stage is not None:
        _in_this_process(chosen.stage)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, 1 thread")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _pictures_report(folder / "pictures", chosen.pictures)
        _trials_report(folder, chosen.trials)


def _pictures_report(folder: Path, count: int) -> None:
    list(lay_out(folder))
    draw_pictures(folder / "data" / "demo" / "images", count)
    titles = " ".join(f"{share:>5.0%}" for share in SAMPLED_AT)
    print(f"\n{count} pictures         seconds  pictures/s   MiB held at {titles}   most")
    for name in ("check", "cache", "cache_again", "open", "epoch"):
        output = _python(folder, __file__, "--stage", name)
        for line in output.splitlines():
            told = Watched(**json.loads(line))
            held = " ".join(f"{mib:>5}" for mib in told.held)
            rate = f"{count / told.seconds:>11.0f}" if told.seconds else f"{'-':>11}"
            print(f"{told.what:<24}{told.seconds:>9.1f} {rate}   {'':>11} {held}  {told.most:>5}")
            sys.stdout.flush()


def draw_pictures(folder: Path, count: int) -> None:
    """Pictures of several shapes, each with a caption of its own, in place of what is there."""
    shutil.rmtree(folder)
    folder.mkdir()
    random = Random(1)
    for number in range(count):
        drawing = base_drawing(random, 64)
        drawing.image.resize(SHAPES[number % len(SHAPES)]).save(folder / f"{number:06d}.png")
        caption = f"{drawing.caption}, number {number}\n"
        (folder / f"{number:06d}.txt").write_text(caption, encoding="utf-8")


@dataclass(frozen=True)
class Watched:
    """A stage: MiB resident at the shares of its time in SAMPLED_AT, and at most."""

    what: str
    seconds: float
    held: list[int]
    most: int


class Watch:
    """Times stages and samples the memory of this process meanwhile."""

    @contextmanager
    def over(self, what: str) -> Iterator[None]:
        samples = [_resident()]
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(0.02):
                samples.append(_resident())

        thread = threading.Thread(target=sample)
        thread.start()
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            ended.set()
            thread.join()
        samples.append(_resident())
        held = [samples[round(share * (len(samples) - 1))] for share in SAMPLED_AT]
        print(json.dumps(asdict(Watched(what, round(seconds, 2), held, max(samples)))))


def _resident() -> int:
    return int(psutil.Process().memory_info().rss) >> 20


def _check(config: StudyConfig, watch: Watch) -> None:
    with watch.over("dataset check"):
        checked = check_dataset(config.path)
    assert not checked.report.problems


def _cache(config: StudyConfig, watch: Watch) -> None:
    data = _prepared(config)
    with watch.over("caching latents, cold"):
        data.encode_all()


def _cache_again(config: StudyConfig, watch: Watch) -> None:
    data = _prepared(config)
    with watch.over("caching latents, again"):
        data.encode_all()
    assert data.latents.encoded == 0


def _open(config: StudyConfig, watch: Watch) -> None:
    with watch.over("study opened, caches full"):
        open_workbench(config)


def _epoch(config: StudyConfig, watch: Watch) -> None:
    data = _prepared(config)
    settings = Hyperparameters(learning_rate=1e-4, train_batch_size=BATCH, max_train_epochs=1)
    steps: list[int] = []
    with watch.over("one epoch"):
        result = Trainer(data.model, data).train(
            settings, config.folder / "scale", "lora", observe=lambda s: steps.append(s.global_step)
        )
    assert len(steps) == result.max_train_steps


STAGES: dict[str, Stage] = {
    "check": _check,
    "cache": _cache,
    "cache_again": _cache_again,
    "open": _open,
    "epoch": _epoch,
}


def _in_this_process(stage: str) -> None:
    torch.set_num_threads(1)
    config = load_study(Path(STUDY))
    config.folder.mkdir(parents=True, exist_ok=True)
    STAGES[stage](config, Watch())


def _prepared(config: StudyConfig) -> PreparedData:
    model = load_model(config.model, torch.device("cpu"))
    store = TensorStore(user_cache_path("lora-optimizer") / "tensors")  # as the product's
    return PreparedData(training_records(config), model, store)


def _python(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment(folder),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return result.stdout


def _environment(folder: Path) -> dict[str, str]:
    """One thread, and a cache of our own."""
    return os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder.parent / "cache")}


def _trials_report(folder: Path, trials: int) -> None:
    print("\nstored trials   first new trial begins after   status   best   (seconds)")
    for stored in (0, trials):
        place = folder / f"stored_{stored}"
        list(lay_out(place))
        store_trials(place, stored)
        begun = _seconds_until_begun(place, stored)
        if not stored:  # that filled the caches, as every start but the first finds them
            begun = _seconds_until_begun(place, 1)
        looks = [_seconds_of(place, verb) for verb in (("status", "best") if stored else ())]
        shown = "".join(f"{seconds:>8.1f}" for seconds in looks)
        print(f"{stored:>13}   {begun:>28.1f} {shown}", flush=True)


def store_trials(place: Path, count: int) -> None:
    """Trials as a study keeps them that ran for weeks: in its database and in its folder."""
    config = load_study(place / STUDY)
    trials = [_stored_trial(config, number) for number in range(count)]
    open_study(config).add_trials(trials)
    for number, trial in enumerate(trials):
        folder = TrialFolder(config.folder, number)
        folder.checkpoints.mkdir()
        (folder.checkpoints / LORA).write_bytes(bytes(1000))
        folder.write("params.json", trial.user_attrs[attrs.EFFECTIVE])
        folder.write("result.json", {"value": trial.value} | trial.user_attrs)
        folder.write("scores.json", {"checkpoints": [_scores(float(trial.value or 0.0))]})
        (folder.path / "metrics.jsonl").write_text("{}\n" * 16)


def _scores(objective: float) -> dict[str, Any]:
    parts = {name: Part(objective, 0.01) for name in (*PARTS, "clip_i", "clip_t")}
    per_picture = {name: [objective] * 16 for name in ("clip_i", "clip_t", "preservation")}
    scores = Scores(objective, 0.01, parts, Health(16, 0, 0, 0), {"pictures": 16}, per_picture)
    return {"epoch": 4, "file": LORA, "sha256": "0" * 64} | scores.as_dict()


def _stored_trial(config: StudyConfig, number: int) -> FrozenTrial:
    parameters = config.space.parameters
    distributions = {stored_name(n, p): distribution_of(p) for n, p in parameters.items()}
    place = (number * 0.618) % 1.0
    drawn = {
        "learning_rate": 1e-4 * 300**place,
        "network_dim": (4, 8, 16)[number % 3],
        "network_alpha_ratio": (0.5, 0.75, 1.0)[number % 7 % 3],
        "lr_scheduler": ("constant_with_warmup", "cosine")[number % 2],
        "max_train_epochs": (4, 8, 12)[number % 11 % 3],
    }
    facts = {
        attrs.FEASIBLE: True,
        attrs.OUTCOME: "complete",
        attrs.EFFECTIVE: drawn,
        attrs.CHECKPOINT: f"trial_{number:04d}/checkpoints/{LORA}",
        attrs.EPOCH: 4,
        attrs.STANDARD_ERROR: 0.01,
        attrs.MAX_TRAIN_STEPS: 16,
        attrs.PLANNED_EPOCHS: 12,
        attrs.TRAINED_EPOCHS: 4,
        attrs.SECONDS: 10.0,
    }
    return create_trial(
        value=0.9 - abs(place - 0.6),
        params=drawn,
        distributions=distributions,
        user_attrs=facts,
        intermediate_values={4: 0.5},
    )


def _seconds_until_begun(place: Path, number: int) -> float:
    """From typing `optimizer run` to the folder of a trial; the run is stopped there."""
    folder = place / "runs" / "demo_sd15" / f"trial_{number:04d}"
    command = [*OPTIMIZER, "run", STUDY, "--n-trials", str(number + 2)]
    started = time.monotonic()
    run = subprocess.Popen(
        command, cwd=place, env=_environment(place), stdout=subprocess.DEVNULL, stderr=None
    )
    while not folder.exists():
        if run.poll() is not None:
            raise SystemExit(f"optimizer run ended with code {run.returncode} before its trial")
        time.sleep(0.02)
    seconds = time.monotonic() - started
    run.send_signal(signal.SIGTERM)
    run.wait()
    return seconds


def _seconds_of(place: Path, verb: str) -> float:
    started = time.monotonic()
    _python(place, *OPTIMIZER[1:], verb, STUDY)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
