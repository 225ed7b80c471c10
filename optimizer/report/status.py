"""Where a study stands, from its database and its folder; reads only."""

import os
import platform
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.report.budget import Budget, budget
from optimizer.report.estimate import Estimate
from optimizer.report.held_cards import HeldCard, held_cards
from optimizer.report.steps import Pace, pace
from optimizer.study.lease import Lease, lease_of
from optimizer.study.look import Onlooker
from optimizer.study.results import best_trial, counted_trials, epochs_saved, feasible_trials
from optimizer.study.turns import is_run_here
from optimizer.trial import attrs
from optimizer.trial.worth import worth

State = Literal["running", "waiting", "done", "stopped", "not begun"]


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a living worker holds. `pace` is None before its first step."""

    number: int
    seconds: float
    """Since it began."""
    pace: Pace | None
    seconds_left: float | None
    """Its training at its pace, and what trials of this study take at least; None if unknown."""
    card: HeldCard | None
    """What its worker holds, if that is a card of this machine."""


@dataclass(frozen=True)
class Failure:
    """How often trials ended in one way without a score, and what the last one said."""

    count: int
    trial: int
    reason: str


@dataclass(frozen=True)
class StudyStatus:
    """A study at one moment.

    `state` is running while a trial is, waiting while a worker of this machine has none (it loads
    its models, or is between two), done with all trials that are wanted, not begun before the
    first, and else stopped.
    """

    name: str
    family: str
    path: str
    """Of the study file."""
    state: State
    since: str | None
    """When anything last happened, if no trial runs now: local time, ISO 8601."""
    stop_reason: str | None
    trials_done: int
    trials_wanted: int
    running: list[RunningTrial]
    enqueued: int
    best: dict[str, Any] | None
    lead: Estimate | None
    """Of the best over the second, with the most its noise can be."""
    failures: dict[str, Failure]
    mean_trial_seconds: float | None
    seconds_left: float | None
    """For the trials that are wanted, at the pace of those that are done, by as many workers."""
    budget: Budget
    epochs: tuple[int, int]
    """Trained and planned, of the trials that have ended: the rest was saved by early stops."""
    disk_bytes: int
    disk_bytes_expected: int | None
    """When all wanted trials are done."""
    disk_bytes_free: int
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
    counted = counted_trials(study)
    wanted, done = config.study.n_trials, len(counted)
    mean, disk = _mean_seconds(counted), _bytes_in(config.folder)
    alive = [trial for trial in trials if _is_running(trial)]
    leases = [lease for trial in alive if (lease := lease_of(trial))]
    running = _running_trials(alive, config, mean, leases)
    best = best_trial(study, config.folder)
    return StudyStatus(
        name=config.name,
        family=config.model.family,
        path=str(config.path),
        state=_state(config, trials, bool(running), done >= wanted),
        since=None if running else _last_event(trials),
        stop_reason=None if running else study.user_attrs.get(attrs.STOP_REASON),
        trials_done=done,
        trials_wanted=wanted,
        running=running,
        enqueued=sum(t.state is TrialState.WAITING for t in trials),
        best=None if best is None else asdict(best) | {"checkpoint": str(best.checkpoint)},
        lead=_lead(feasible_trials(study)),
        failures=_failures(trials),
        mean_trial_seconds=mean,
        seconds_left=_seconds_left(wanted - done, mean, running),
        budget=budget(config.study.stop, trials, leases, sum(trial.seconds for trial in running)),
        epochs=epochs_saved(trials),
        disk_bytes=disk,
        disk_bytes_expected=disk // done * max(wanted, done) if done else None,
        disk_bytes_free=shutil.disk_usage(config.folder).free,
        folder=str(config.folder),
    )


def _is_running(trial: FrozenTrial) -> bool:
    lease = lease_of(trial)
    is_alive = lease is None or not lease.is_dead()
    return trial.state is TrialState.RUNNING and is_alive


def _running_trials(
    alive: Sequence[FrozenTrial], config: StudyConfig, mean: float | None, leases: Sequence[Lease]
) -> list[RunningTrial]:
    here = {lease.pid for lease in leases if lease.host == platform.node()}
    held = held_cards(here) if here else {}
    pids = {trial.number: lease.pid for trial in alive if (lease := lease_of(trial))}
    return [_running(trial, config, mean, held.get(pids.get(trial.number, 0))) for trial in alive]


def _running(
    trial: FrozenTrial, config: StudyConfig, mean: float | None, card: HeldCard | None
) -> RunningTrial:
    began = trial.datetime_start
    seconds = max((datetime.now() - began).total_seconds(), 0.0) if began else 0.0
    found = pace(config.folder / f"trial_{trial.number:04d}" / "metrics.jsonl")
    left = [found.seconds_left] if found else []
    if mean is not None:
        # Checkpoints are drawn and scored as well, which only trials that ended tell of.
        left.append(max(mean - seconds, 0.0))
    return RunningTrial(trial.number, seconds, found, max(left, default=None), card)


def _state(
    config: StudyConfig, trials: Sequence[FrozenTrial], is_running: bool, is_done: bool
) -> State:
    if is_running:
        return "running"
    if is_run_here(config):
        return "waiting"
    if is_done:
        return "done"
    has_begun = any(trial.state is not TrialState.WAITING for trial in trials)
    return "stopped" if has_begun else "not begun"


def _last_event(trials: Sequence[FrozenTrial]) -> str | None:
    """When a trial began or ended, or its worker gave its last sign of life."""
    times = [t for trial in trials for t in (trial.datetime_start, trial.datetime_complete) if t]
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    times += [datetime.fromtimestamp(held.seen) for t in running if (held := lease_of(t))]
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
    return max(trials_left * mean - begun, 0.0) / max(len(running), 1)


def _bytes_in(folder: Path) -> int:
    """Of all files below a folder; those that vanish meanwhile count nothing."""
    total, folders = 0, [str(folder)]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                with suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
    return total
