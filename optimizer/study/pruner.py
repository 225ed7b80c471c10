"""Ending a trial early once it is not likely to become the best of its study."""

from statistics import median

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial

from optimizer.config.study import StopConfig
from optimizer.study.results import feasible_trials
from optimizer.trial import attrs
from optimizer.trial.worth import has_several

FEWEST_TRIALS = 5
"""Feasible trials that must have come as far before another one is measured against them."""
WARM_UP = 1 / 3
"""Share of a trial's epochs that it may train in any case: low learning rates start slowly."""


class BestSoFarPruner(BasePruner):
    """Optuna's median rule on the best checkpoint so far, which is what a trial is worth.

    A trial is hopeless when its best value lies below the median of the best values that the
    feasible trials had at the same epoch, by more than its standard error. Seeds are never
    hopeless: each answers a question of its own. Where there are several objectives none is.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial's last reported checkpoint makes it hopeless."""
        epoch, planned = trial.last_step, trial.user_attrs.get(attrs.PLANNED_EPOCHS)
        if has_several(study) or attrs.SEED_ID in trial.user_attrs:
            return False
        if epoch is None or planned is None or not planned * WARM_UP <= epoch < planned:
            return False
        others = [best_so_far(t, epoch) for t in feasible_trials(study) if _reached(t, epoch)]
        if len(others) < FEWEST_TRIALS:
            return False
        noise = float(trial.user_attrs.get(attrs.STANDARD_ERROR, 0.0))
        return best_so_far(trial, epoch) < median(others) - noise


def build_pruner(stop: StopConfig) -> BasePruner:
    """The pruner that a study file asks for."""
    return BestSoFarPruner() if stop.hopeless_trials else NopPruner()


def best_so_far(trial: FrozenTrial, epoch: int) -> float:
    """The highest value that a trial reported up to an epoch; it must have reported one."""
    return max(value for step, value in trial.intermediate_values.items() if step <= epoch)


def _reached(trial: FrozenTrial, epoch: int) -> bool:
    """Whether there is a value up to this epoch, and the trial was trained as far."""
    steps = trial.intermediate_values
    return bool(steps) and min(steps) <= epoch <= max(steps)
