"""Optuna samplers for searches of ten to a hundred expensive trials."""

import warnings

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from optimizer.config.study import SearchConfig
from optimizer.space.search_space import SearchSpace

FEWEST_STARTUP_TRIALS = 5


def build_sampler(
    search: SearchConfig, space: SearchSpace, *, seeds: int, trials_so_far: int
) -> BaseSampler:
    """The sampler of a study.

    `auto` takes a Gaussian process, the best for few trials, where the space allows: it sees only
    parameters that every trial has and no infeasible ones. Conditional parameters and constraints
    need TPE.

    Args:
        seeds: enqueued trials; the sampler starts to model once these are known.
        trials_so_far: a restarted study draws on with another random state, else it would repeat
            its first points.
    """
    random_state = search.seed + trials_so_far
    startup = max(FEWEST_STARTUP_TRIALS, seeds)
    kind = search.sampler
    if kind == "auto":
        kind = "tpe" if space.is_conditional or space.config.constraints else "gp"
    if kind == "random":
        return RandomSampler(seed=random_state)
    if kind == "gp":
        return GPSampler(seed=random_state, n_startup_trials=startup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=random_state,
            n_startup_trials=startup,
            multivariate=True,
            constant_liar=True,
            group=space.is_conditional,
        )
