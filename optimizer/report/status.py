"""Where a study stands, from its database and nothing else."""

from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.report.tables import console, key_values
from optimizer.study.lease import Lease
from optimizer.study.open import load_existing
from optimizer.study.results import best_trial, counted_trials
from optimizer.trial import attrs


@dataclass(frozen=True)
class StudyStatus:
    """A study at one moment. `state` is running, done, or stopped."""

    name: str
    family: str
    state: str
    trials_done: int
    trials_wanted: int
    running: list[int]
    waiting: int
    best: dict[str, Any] | None
    failures: dict[str, int]
    last_failure: str | None
    mean_trial_seconds: float | None
    folder: str
    stop_reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def study_status(config: StudyConfig) -> StudyStatus:
    """Read a study's status.

    Raises:
        StudyError: there is no such study yet.
    """
    study = load_existing(config)
    trials = study.get_trials(deepcopy=False)
    done = len(counted_trials(study))
    running = [t.number for t in trials if t.state is TrialState.RUNNING and _is_alive(t)]
    best = best_trial(study, config.folder)
    failed = [t for t in trials if t.user_attrs.get(attrs.OUTCOME, "complete") != "complete"]
    return StudyStatus(
        name=config.name,
        family=config.model.family,
        state=_state(bool(running), done >= config.study.n_trials),
        trials_done=done,
        trials_wanted=config.study.n_trials,
        running=running,
        waiting=sum(t.state is TrialState.WAITING for t in trials),
        best=None if best is None else asdict(best) | {"checkpoint": str(best.checkpoint)},
        failures=_counts(failed),
        last_failure=failed[-1].user_attrs.get(attrs.REASON) if failed else None,
        mean_trial_seconds=_mean_seconds(trials),
        folder=str(config.folder),
        stop_reason=None if running else study.user_attrs.get(attrs.STOP_REASON),
    )


def _is_alive(trial: FrozenTrial) -> bool:
    lease = trial.user_attrs.get(attrs.LEASE)
    return lease is None or not Lease(**lease).is_dead()


def _state(is_running: bool, is_done: bool) -> str:
    if is_running:
        return "running"
    return "done" if is_done else "stopped"


def _counts(trials: list[FrozenTrial]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for trial in trials:
        kind = trial.user_attrs[attrs.OUTCOME]
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _mean_seconds(trials: list[FrozenTrial]) -> float | None:
    seconds = [t.user_attrs[attrs.SECONDS] for t in trials if attrs.SECONDS in t.user_attrs]
    return round(sum(seconds) / len(seconds), 1) if seconds else None


def print_status(status: StudyStatus) -> None:
    """The same for people."""
    facts: dict[str, Any] = {
        "state": status.state,
        "trials": f"{status.trials_done} of {status.trials_wanted}",
    }
    if status.stop_reason:
        facts["stopped because"] = status.stop_reason
    if status.running:
        facts["running now"] = ", ".join(f"trial {number}" for number in status.running)
    if status.best:
        best = status.best
        facts["best"] = (
            f"{best['value']:.3f} ± {best['standard_error']:.3f} (trial {best['number']})"
        )
        facts["best LoRA"] = best["checkpoint"]
    if status.failures:
        facts["failures"] = ", ".join(f"{k}: {n}" for k, n in status.failures.items())
        facts["last failure"] = status.last_failure
    if status.mean_trial_seconds is not None:
        facts["seconds per trial"] = status.mean_trial_seconds
        left = max(status.trials_wanted - status.trials_done, 0)
        facts["minutes left"] = round(left * status.mean_trial_seconds / 60, 1)
    facts["folder"] = status.folder
    console.print(key_values(f"study {status.name} ({status.family})", facts))
