"""Where a study stands, from its database and its folder; reads only."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.report.findings import Estimate
from optimizer.report.steps import Pace, pace
from optimizer.study.lease import lease_of
from optimizer.study.look import Onlooker
from optimizer.study.results import best_trial, counted_trials, epochs_saved, feasible_trials
from optimizer.trial import attrs
from optimizer.trial.worth import worth


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a living worker holds. `pace` is None before its first step."""

    number: int
    seconds: float
    """Since it began."""
    pace: Pace | None


@dataclass(frozen=True)
class Failure:
    """How often trials ended in one way without a score, and what the last one said."""

    count: int
    trial: int
    reason: str


@dataclass(frozen=True)
class StudyStatus:
    """A study at one moment. `state` is running, done, or stopped."""

    name: str
    family: str
    state: str
    since: str | None
    """When anything last happened, if nothing does now: local time, ISO 8601."""
    stop_reason: str | None
    trials_done: int
    trials_wanted: int
    running: list[RunningTrial]
    waiting: int
    best: dict[str, Any] | None
    lead: Estimate | None
    """Of the best over the second, with the most its noise can be."""
    failures: dict[str, Failure]
    mean_trial_seconds: float | None
    seconds_left: float | None
    """For the trials that are wanted, at the pace of those that are done."""
    epochs: tuple[int, int]
    """Trained and planned, of the trials that have ended: the rest was saved by early stops."""
    disk_bytes: int
    disk_bytes_expected: int | None
    """When all wanted trials are done."""
    folder: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def study_status(config: StudyConfig, study: optuna.Study | None = None) -> StudyStatus:
    """What a look at a study says, a fresh one if None.

    Raises:
        StudyError: there is no such study yet.
        StorageError: its database cannot be reached.
    """
    study = study or Onlooker(config).look()
    trials = study.get_trials(deepcopy=False)
    wanted, done = config.study.n_trials, len(counted_trials(study))
    running = [_running(t, config) for t in trials if _is_running(t)]
    best = best_trial(study, config.folder)
    mean, disk = _mean_seconds(trials), _bytes_in(config.folder)
    return StudyStatus(
        name=config.name,
        family=config.model.family,
        state=_state(bool(running), done >= wanted),
        since=None if running else _last_event(trials),
        stop_reason=None if running else study.user_attrs.get(attrs.STOP_REASON),
        trials_done=done,
        trials_wanted=wanted,
        running=running,
        waiting=sum(t.state is TrialState.WAITING for t in trials),
        best=None if best is None else asdict(best) | {"checkpoint": str(best.checkpoint)},
        lead=_lead(feasible_trials(study)),
        failures=_failures(trials),
        mean_trial_seconds=mean,
        seconds_left=_seconds_left(wanted - done, mean, running),
        epochs=epochs_saved(trials),
        disk_bytes=disk,
        disk_bytes_expected=disk // done * max(wanted, done) if done else None,
        folder=str(config.folder),
    )


def _is_running(trial: FrozenTrial) -> bool:
    lease = lease_of(trial)
    is_alive = lease is None or not lease.is_dead()
    return trial.state is TrialState.RUNNING and is_alive


def _running(trial: FrozenTrial, config: StudyConfig) -> RunningTrial:
    began = trial.datetime_start
    seconds = (datetime.now(began.tzinfo) - began).total_seconds() if began else 0.0
    folder = config.folder / f"trial_{trial.number:04d}"
    return RunningTrial(trial.number, max(seconds, 0.0), pace(folder / "metrics.jsonl"))


def _state(is_running: bool, is_done: bool) -> str:
    if is_running:
        return "running"
    return "done" if is_done else "stopped"


def _last_event(trials: Sequence[FrozenTrial]) -> str | None:
    times = [t for trial in trials for t in (trial.datetime_start, trial.datetime_complete) if t]
    return max(times).isoformat(sep=" ", timespec="seconds") if times else None


def _lead(ranked: Sequence[FrozenTrial]) -> Estimate | None:
    if len(ranked) < 2:
        return None
    errors = [float(t.user_attrs.get(attrs.STANDARD_ERROR, 0.0)) for t in ranked[:2]]
    first, second = (float(worth(trial) or 0.0) for trial in ranked[:2])
    return Estimate(first - second, (errors[0] ** 2 + errors[1] ** 2) ** 0.5)


def _failures(trials: Sequence[FrozenTrial]) -> dict[str, Failure]:
    found: dict[str, Failure] = {}
    for trial in trials:
        kind = trial.user_attrs.get(attrs.OUTCOME, "complete")
        if kind != "complete":
            before = found[kind].count if kind in found else 0
            reason = str(trial.user_attrs.get(attrs.REASON) or "")
            found[kind] = Failure(before + 1, trial.number, reason)
    return found


def _mean_seconds(trials: Sequence[FrozenTrial]) -> float | None:
    seconds = [t.user_attrs[attrs.SECONDS] for t in trials if attrs.SECONDS in t.user_attrs]
    return round(sum(seconds) / len(seconds), 1) if seconds else None


def _seconds_left(
    trials_left: int, mean: float | None, running: Sequence[RunningTrial]
) -> float | None:
    if mean is None:
        return None
    begun = sum(min(trial.seconds, mean) for trial in running)
    return max(trials_left * mean - begun, 0.0)


def _bytes_in(folder: Path) -> int:
    """Of all files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
            except FileNotFoundError:
                continue
    return total
