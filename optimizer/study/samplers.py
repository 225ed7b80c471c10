"""Optuna samplers for searches of ten to a hundred expensive trials."""

import logging
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from optimizer.config.space import CategoricalParameter
from optimizer.config.study import SamplerName, SearchConfig, StudyConfig
from optimizer.errors import ConfigError
from optimizer.space.search_space import SearchSpace

logger = logging.getLogger(__name__)

FEWEST_STARTUP_TRIALS = 5
SMALL_GENERATION = 10
MOST_FOR_GP = 500
"""Its time for one ask grows with the cube of the trials: 0.2 s at 100, 10 s at 1,000."""
_BLIND_TO_CONDITIONS = ("gp", "cmaes", "qmc")


def build_sampler(
    search: SearchConfig, space: SearchSpace, *, seeds: int, trials_so_far: int
) -> BaseSampler:
    """The sampler of a study, cheap to build and without memory: for each ask a new one.

    `auto` takes a Gaussian process, the best for few trials, where the space allows: it sees only
    parameters that every trial has and no infeasible ones. Conditional parameters and constraints
    need TPE, and so do very many trials.

    Args:
        seeds: enqueued trials; the sampler starts to model once these are known.
        trials_so_far: trials of the study that were begun, by whomever. Each draws with a random
            state of its own; workers that start together would else all draw the same, and a
            restarted one its first points again.
    """
    start = _Start(
        fixed_state=search.seed,
        state=_state(search, trials_so_far),
        trials=max(FEWEST_STARTUP_TRIALS, seeds),
        is_conditional=space.is_conditional,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _BUILDERS[_kind(search, space, trials_so_far)](start)


def _state(search: SearchConfig, trials_so_far: int) -> int:
    """Of the study's name too: an SDXL study need not draw what its SD1.5 study has tried."""
    name = zlib.crc32(search.name.encode())
    # Not a sum: then two studies would draw alike whose seeds lie a few trials apart.
    return int(np.random.SeedSequence([search.seed, name, trials_so_far]).generate_state(1)[0])


@dataclass(frozen=True)
class _Start:
    """What samplers begin with. state: random, by trial; fixed_state: the same for all trials."""

    fixed_state: int
    state: int
    trials: int
    is_conditional: bool


def _gp(start: _Start) -> BaseSampler:
    return GPSampler(
        seed=start.state, n_startup_trials=start.trials, warn_independent_sampling=False
    )


def _tpe(start: _Start) -> BaseSampler:
    return TPESampler(
        seed=start.state,
        n_startup_trials=start.trials,
        multivariate=True,
        constant_liar=True,
        group=start.is_conditional,
    )


def _qmc(start: _Start) -> BaseSampler:
    """Its points are those of one sequence, which the seed names; the place is in the storage."""
    return QMCSampler(
        scramble=True,
        seed=start.fixed_state,
        independent_sampler=RandomSampler(start.state),
        warn_independent_sampling=False,
    )


def _cmaes(start: _Start) -> BaseSampler:
    """Its covariance is in the storage, beside the trials."""
    return CmaEsSampler(
        seed=start.state, n_startup_trials=start.trials, warn_independent_sampling=False
    )


def _nsga2(start: _Start) -> BaseSampler:
    """Optuna's generations of fifty would make a search of fifty trials a random one."""
    return NSGAIISampler(seed=start.state, population_size=max(SMALL_GENERATION, start.trials))


_BUILDERS: dict[SamplerName, Callable[[_Start], BaseSampler]] = {
    "gp": _gp,
    "tpe": _tpe,
    "random": lambda start: RandomSampler(start.state),
    "qmc": _qmc,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}


def _kind(search: SearchConfig, space: SearchSpace, trials_so_far: int = 0) -> SamplerName:
    if search.sampler != "auto":
        return search.sampler
    beyond_gp = space.is_conditional or space.config.constraints or trials_so_far >= MOST_FOR_GP
    return "tpe" if beyond_gp else "gp"


def check_sampler(config: StudyConfig, space: SearchSpace) -> None:
    """Warn of what the study's sampler does badly in its space.

    Raises:
        ConfigError: it cannot search this space, or not here.
    """
    if problem := _problem(config.study, space, len(config.scoring.objectives)):
        raise ConfigError(f"{config.path}: study.sampler = {config.study.sampler!r} {problem}")
    conditional = [name for name, p in space.config.parameters.items() if p.when]
    if _kind(config.study, space) in _BLIND_TO_CONDITIONS and conditional:
        logger.warning(
            "%s: study.sampler = %r draws %s at random, because of its `when`; tpe learns it too",
            config.path,
            config.study.sampler,
            ", ".join(conditional),
        )


def _problem(search: SearchConfig, space: SearchSpace, objectives: int) -> str | None:
    kind = _kind(search, space)
    if kind == "cmaes" and objectives > 1:
        return 'knows one objective and scoring.objectives has several; take "nsga2" or "tpe"'
    if kind == "gp" and space.config.constraints:
        return (
            "does not learn which settings [[constraints]] refuse and would draw them again and "
            'again; take "tpe", or "auto"'
        )
    if kind != "cmaes":
        return None
    parameters = space.config.parameters.items()
    if chosen := [name for name, p in parameters if isinstance(p, CategoricalParameter)]:
        return f'knows numbers only and {", ".join(chosen)} is categorical; take "gp" or "tpe"'
    if sum(p.low < p.high for _, p in parameters if not isinstance(p, CategoricalParameter)) < 2:
        return 'needs two parameters or more; take "gp" or "tpe"'
    return None
