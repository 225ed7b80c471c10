"""The trials that a study begins with: enqueued once, each checked against the space before."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from optimizer.space.fit import Fitted, fit
from optimizer.space.search_space import SearchSpace
from optimizer.trial import attrs


def enqueue_seeds(
    study: optuna.Study, seeds: Sequence[Mapping[str, Any]], space: SearchSpace
) -> list[Fitted]:
    """Enqueue hyperparameters as the next trials; those enqueued before are left alone.

    Returns what became of each, in order. Seeds that the space makes equal are enqueued once.
    """
    fitted = [fit(seed, space) for seed in seeds]
    known = [trial.user_attrs.get(attrs.SEED_ID) for trial in study.get_trials(deepcopy=False)]
    for seed in fitted:
        identity = seed_id(seed.params)
        if seed.params and identity not in known:
            study.enqueue_trial(seed.params, user_attrs={attrs.SEED_ID: identity})
            known.append(identity)
    return fitted


def seed_id(params: Mapping[str, Any]) -> str:
    """The same for the same parameters, whatever their order."""
    return ", ".join(f"{name}={params[name]!r}" for name in sorted(params))


def count_seeds(study: optuna.Study) -> int:
    """Trials that were enqueued rather than drawn, waiting ones included."""
    return sum(attrs.SEED_ID in t.user_attrs for t in study.get_trials(deepcopy=False))


def waiting_trials(study: optuna.Study) -> int:
    """Enqueued trials that nobody has begun."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
