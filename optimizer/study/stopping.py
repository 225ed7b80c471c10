"""When a study stops, asked before each trial: the first rule that holds, in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.duration import parse_duration
from optimizer.config.study import StopConfig, StudyConfig
from optimizer.errors import StudyError
from optimizer.study.convergence import progress
from optimizer.study.lease import Lease, lease_of
from optimizer.study.open import load_existing
from optimizer.study.results import counted_trials, counts, feasible_trials
from optimizer.study.turns import is_run_here
from optimizer.trial import attrs

Kind = Literal["done", "asked", "deadline", "gpu_hours", "patience"]


@dataclass(frozen=True)
class Stop:
    """Why a study stops: the rule, and a sentence with what to do to go on."""

    kind: Kind
    sentence: str


class Stopping:
    """The rules of one run. They read the study, so a restarted run stops where the last one did.

    Args:
        n_trials: trials that count, over the study's whole life.
        deadline: with its time zone; the end of `rules.timeout` from now if None.
    """

    def __init__(
        self, rules: StopConfig, folder: Path, n_trials: int, deadline: datetime | None
    ) -> None:
        self.rules, self.folder, self.n_trials = rules, folder, n_trials
        if deadline is None and rules.timeout is not None:
            deadline = _now() + parse_duration(rules.timeout)
        self.deadline = deadline

    def check(self, study: optuna.Study) -> Stop | None:
        """The first rule that forbids another trial."""
        return (
            self._done(study)
            or self._asked()
            or self._late(study)
            or self._spent(study)
            or self._converged(study)
        )

    def _done(self, study: optuna.Study) -> Stop | None:
        # Of one look at the study: between two, a trial may end and be seen neither way.
        trials = study.get_trials(deepcopy=False)
        done, under_way = sum(map(counts, trials)), len(_leases_of_others(trials))
        if done >= self.n_trials:
            said = f"{self.n_trials} trials are done, as many as wanted; more with --n-trials"
            return Stop("done", said)
        if done + under_way < self.n_trials:
            return None
        said = f"{done} trials are done and other workers have begun the other {under_way}"
        return Stop("done", said)

    def _asked(self) -> Stop | None:
        if not stop_file(self.folder).exists():
            return None
        return Stop("asked", "`optimizer stop` was typed; `optimizer run` goes on")

    def _late(self, study: optuna.Study) -> Stop | None:
        if self.deadline is None:
            return None
        left, needed = self.deadline - _now(), _usual_time(study)
        if left > needed:
            return None
        when = f"the deadline, {self.deadline:%a %H:%M},"
        if left <= timedelta():
            return Stop("deadline", f"{when} has come; run again to go on")
        return Stop(
            "deadline",
            f"{when} leaves {_spoken(left)} and a trial takes about {_spoken(needed)}; "
            "run again to go on",
        )

    def _spent(self, study: optuna.Study) -> Stop | None:
        if self.rules.gpu_hours is None:
            return None
        trials = study.get_trials(deepcopy=False)
        seconds = sum(t.user_attrs.get(attrs.SECONDS, 0.0) for t in trials)
        seconds += sum(lease.seen - lease.since for lease in held_by_others(study))
        spent = timedelta(seconds=seconds)
        budget, needed = timedelta(hours=self.rules.gpu_hours), _usual_time(study)
        if spent < budget and spent + needed <= budget:
            return None
        return Stop(
            "gpu_hours",
            f"of {_spoken(budget)} on the GPU {_spoken(spent)} are spent and a trial takes about "
            f"{_spoken(needed)}; raise gpu_hours in [study.stop] to go on",
        )

    def _converged(self, study: optuna.Study) -> Stop | None:
        rows = progress(counted_trials(study)) if self.rules.patience else []
        if not rows or rows[-1].since_improvement < self.rules.patience:
            return None
        last = rows[-1]
        best = "" if last.best is None else f", {last.best:.3f} (trial {last.best_number}) is best"
        return Stop(
            "patience",
            f"no improvement beyond the measured noise in {last.since_improvement} trials{best}; "
            "to search on, run again with --patience 0 or a higher number",
        )


def held_by_others(study: optuna.Study) -> list[Lease]:
    """Of running trials, by living workers."""
    return _leases_of_others(study.get_trials(deepcopy=False))


def _leases_of_others(trials: Sequence[FrozenTrial]) -> list[Lease]:
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    leases = [lease for trial in running if (lease := lease_of(trial))]
    return [lease for lease in leases if not lease.is_mine() and not lease.is_dead()]


def stop_file(folder: Path) -> Path:
    """While this file is there, a running study ends after its current trial."""
    return folder / "STOP"


def forget_stop(config: StudyConfig) -> None:
    """Go on after `ask_to_stop`; not for a worker, which may be the successor of one that died."""
    stop_file(config.folder).unlink(missing_ok=True)


def _now() -> datetime:
    return datetime.now().astimezone()


def _usual_time(study: optuna.Study) -> timedelta:
    """What a trial takes: the median of those trained to their end, nothing before there is one."""
    seconds = [
        trial.user_attrs[attrs.SECONDS]
        for trial in feasible_trials(study)
        if attrs.SECONDS in trial.user_attrs and attrs.EARLY_STOPPED not in trial.user_attrs
    ]
    return timedelta(seconds=median(seconds) if seconds else 0)


def _spoken(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    if minutes < 1:
        return f"{span.total_seconds():.0f} seconds"
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def ask_to_stop(config: StudyConfig) -> str:
    """Have a running study end after its current trial; returns the news in a sentence.

    Raises:
        StudyError: there is no such study, or nobody runs it.
    """
    study = load_existing(config)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    leases = {t.number: lease_of(t) for t in running}
    alive = [number for number, lease in leases.items() if lease and not lease.is_dead()]
    if not alive and not is_run_here(config):
        raise StudyError(f"{config.path}: study {config.name} is not running; nothing to stop")
    stop_file(config.folder).touch()
    after = " and ".join(f"trial {number}" for number in alive) or "it has loaded its models"
    return f"study {config.name} stops after {after}"
