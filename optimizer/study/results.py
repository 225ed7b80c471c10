"""What a study has found so far, read from its trials."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.study.choice import ChosenBy, choose, finals_agree
from optimizer.study.lease import lease_of
from optimizer.trial import attrs
from optimizer.trial.worth import worth


@dataclass(frozen=True)
class BestTrial:
    """The best feasible trial of a study."""

    number: int
    value: float
    standard_error: float
    params: dict[str, Any]
    """Effective hyperparameters: those trained with, not those Optuna stores."""
    checkpoint: Path
    epoch: int
    chosen_by: ChosenBy = "search"
    why: str = ""
    finals_agree: bool | None = None


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards n_trials: it was trained and has a value.

    A trial that was completed by hand, on the dashboard, was not trained.
    """
    return trial.state is TrialState.COMPLETE and attrs.FEASIBLE in trial.user_attrs


def counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count towards n_trials."""
    return list(filter(counts, study.get_trials(deepcopy=False)))


def has_finished_trials(study: optuna.Study, pid: int) -> bool:
    """Whether this process of this host has finished a trial that counts."""
    leases = (lease_of(trial) for trial in counted_trials(study))
    return any(lease.pid == pid and lease.host == platform.node() for lease in leases if lease)


def feasible_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Counted trials with usable pictures, best first."""
    trials = [t for t in counted_trials(study) if t.user_attrs[attrs.FEASIBLE]]
    return sorted(trials, key=lambda t: worth(t) or 0.0, reverse=True)


def epochs_saved(trials: Sequence[FrozenTrial]) -> tuple[int, int]:
    """Epochs trained and epochs planned, over all trials that say both.

    Failed and refused trials do not; what they left out was not saved.
    """
    told = [t.user_attrs for t in trials if attrs.TRAINED_EPOCHS in t.user_attrs]
    trained = sum(int(facts[attrs.TRAINED_EPOCHS]) for facts in told)
    return trained, sum(int(facts[attrs.PLANNED_EPOCHS]) for facts in told)


def best_trial(study: optuna.Study, folder: Path) -> BestTrial | None:
    """The best feasible trial, by pick, finals or search; None before there is one."""
    trials = feasible_trials(study)
    if not trials:
        return None
    best = choose(study, trials, folder)
    params = next(t.user_attrs[attrs.EFFECTIVE] for t in trials if t.number == best.trial)
    return BestTrial(
        number=best.trial,
        value=best.objective,
        standard_error=best.objective_se,
        params=dict(params),
        checkpoint=folder / best.checkpoint,
        epoch=best.epoch,
        chosen_by=best.chosen_by,
        why=best.why,
        finals_agree=finals_agree(study),
    )
