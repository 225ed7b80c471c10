"""What a study has found so far, read from its trials."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.trial import attrs


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


def counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count towards n_trials: those that were trained and have a value.

    A trial that was completed by hand, on the dashboard, was not trained.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in complete if attrs.FEASIBLE in trial.user_attrs]


def feasible_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Counted trials with usable pictures, best first."""
    trials = [t for t in counted_trials(study) if t.user_attrs[attrs.FEASIBLE]]
    return sorted(trials, key=lambda t: t.value or 0.0, reverse=True)


def best_trial(study: optuna.Study, folder: Path) -> BestTrial | None:
    """The best feasible trial, or None before there is one."""
    trials = feasible_trials(study)
    if not trials:
        return None
    best = trials[0]
    attributes = best.user_attrs
    return BestTrial(
        number=best.number,
        value=float(best.value or 0.0),
        standard_error=float(attributes.get(attrs.STANDARD_ERROR, 0.0)),
        params=dict(attributes[attrs.EFFECTIVE]),
        checkpoint=folder / attributes[attrs.CHECKPOINT],
        epoch=int(attributes[attrs.EPOCH]),
    )
