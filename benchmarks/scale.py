"""What 10,000 pictures and 1,000 stored trials cost: seconds of every stage, and its memory.

    python benchmarks/scale.py --pictures 10000 --starts 3
    python benchmarks/scale.py --pictures 200 --trials 100    (to try it)

1. Captioned pictures of five shapes through the demo's SD1.5, one CPU thread, each stage in a
   process of its own: `optimizer dataset check`; caching latents; opening the study once they are
   cached; caching once more and an epoch of training. Memory is sampled all along a stage.
2. `optimizer run` from its start to the first trial beyond those stored, with no trials stored and
   with many, on SQLite; then `optimizer status` and `optimizer best`.
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
from statistics import median

import psutil
import torch
from platformdirs import user_cache_path
from stored_trials import store_trials

from optimizer.config.study import StudyConfig, load_study
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.demo.layout import lay_out
from optimizer.demo.world import base_drawing
from optimizer.logs import quiet_libraries
from optimizer.models.loading import load_model
from optimizer.report.dataset import check_dataset
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer
from optimizer.trial.workbench import open_workbench, training_records

SHAPES = [(64, 64), (80, 52), (52, 80), (104, 40), (40, 104)]
"""Width and height in pixels: five buckets."""
SAMPLED_AT = (0.1, 0.25, 0.5, 0.75, 1.0)
STUDY = "studies/demo_sd15.toml"
BATCH = 4
OPTIMIZER = [sys.executable, "-m", "optimizer.cli.main"]
Stage = Callable[[StudyConfig, "Watch"], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--starts", type=int, default=1, help="of which the median is told")
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
        _trials_report(folder, chosen.trials, chosen.starts)


def _pictures_report(folder: Path, count: int) -> None:
    list(lay_out(folder))
    draw_pictures(folder / "data" / "demo" / "images", count)
    titles = " ".join(f"{share:>5.0%}" for share in SAMPLED_AT)
    print(f"\n{f'{count} pictures':<24}  seconds  pictures/s  MiB held at {titles}   most")
    for name in STAGES:
        output = _python(folder, __file__, "--stage", name)
        for line in output.splitlines():
            told = Watched(**json.loads(line))
            held = " ".join(f"{mib:>5}" for mib in told.held)
            rate = f"{count / told.seconds:>11.0f}" if told.seconds else f"{'-':>11}"
            print(f"{told.what:<24}{told.seconds:>9.1f} {rate}  {'':>11} {held}  {told.most:>5}")
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


def _open(config: StudyConfig, watch: Watch) -> None:
    with watch.over("study opened, caches full"):
        open_workbench(config)


def _epoch(config: StudyConfig, watch: Watch) -> None:
    data = _prepared(config)
    with watch.over("caching latents, again"):
        data.encode_all()
    assert data.latents.encoded == 0
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


def _trials_report(folder: Path, trials: int, starts: int) -> None:
    print("\nseconds, median\nstored trials   first new trial begins after   status   best")
    for stored in (0, trials):
        place = folder / f"stored_{stored}"
        list(lay_out(place))
        store_trials(load_study(place / STUDY), stored)
        shutil.copytree(place / "runs", place / "before")
        if not stored:  # the very first start fills the caches
            _seconds_until_begun(place, stored)
        begun = median(_seconds_until_begun(place, stored) for _ in range(starts))
        looks = [
            _seconds_of(place, verb, starts) for verb in (("status", "best") if stored else ())
        ]
        shown = "".join(f"{seconds:>8.1f}" for seconds in looks)
        print(f"{stored:>13}   {begun:>28.1f} {shown}", flush=True)


def _seconds_until_begun(place: Path, number: int) -> float:
    """From typing `optimizer run` to the folder of a trial; the run is stopped there.

    From the study as it was: a trial that was stopped would be done again instead of a new one.
    """
    shutil.rmtree(place / "runs")
    shutil.copytree(place / "before", place / "runs")
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


def _seconds_of(place: Path, verb: str, times: int) -> float:
    seconds = []
    for _ in range(times):
        started = time.monotonic()
        _python(place, *OPTIMIZER[1:], verb, STUDY)
        seconds.append(time.monotonic() - started)
    return median(seconds)


if __name__ == "__main__":
    main()
