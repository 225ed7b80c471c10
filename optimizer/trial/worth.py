"""What a trial is worth: told to Optuna as one objective or several, to people always as one."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from optimizer.config.scoring import ScoringConfig
from optimizer.trial import attrs

WORST_VALUE = 0.0
"""Every objective lies in [0, 1], give or take; what cannot be scored is the worst there is."""


def objective_names(scoring: ScoringConfig) -> list[str]:
    """What Optuna maximises: the composite objective, or the metrics that the study names."""
    return list(scoring.objectives) or [attrs.OBJECTIVE]


def has_several(study: optuna.Study) -> bool:
    """Whether a study has several objectives: such trials are neither reported nor pruned."""
    return len(study.directions) > 1


def told_values(names: Sequence[str] | None, facts: Mapping[str, Any]) -> list[float]:
    """A trial's values in the order of its study's metric names, the worst for what is missing."""
    return [float(facts.get(name, WORST_VALUE)) for name in names or (attrs.OBJECTIVE,)]


def worth(trial: FrozenTrial) -> float | None:
    """The composite objective of a finished trial; None where it has no value."""
    if trial.values is None:
        return None
    return trial.values[0] if len(trial.values) == 1 else trial.user_attrs.get(attrs.OBJECTIVE)
