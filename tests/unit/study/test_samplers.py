"""Which sampler searches which space, and where each begins."""

from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import create_trial

from optimizer.config.study import StudyConfig
from optimizer.study.open import space_of
from optimizer.study.samplers import build_sampler

Make = Callable[..., StudyConfig]

RATE = '[parameters.learning_rate]\ntype = "float"\nlow = 1e-5\nhigh = 1e-2\nlog = true\n'
CONDITIONAL = RATE + (
    '[parameters.lr_scheduler]\ntype = "categorical"\n'
    'choices = ["cosine", "cosine_with_restarts"]\n'
    '[parameters.lr_scheduler_num_cycles]\ntype = "int"\nlow = 1\nhigh = 4\n'
    'when = { lr_scheduler = ["cosine_with_restarts"] }\n'
)
CONSTRAINED = RATE + '[[constraints]]\nrule = "learning_rate <= 1e-3"\nreason = "too fast"\n'


def sampler(config: StudyConfig, *, seeds: int = 0, trials_so_far: int = 0) -> BaseSampler:
    return build_sampler(config.study, space_of(config), seeds=seeds, trials_so_far=trials_so_far)


@pytest.mark.parametrize(
    ("space", "kind"), [(RATE, GPSampler), (CONDITIONAL, TPESampler), (CONSTRAINED, TPESampler)]
)
def test_auto_takes_a_gaussian_process_where_it_sees_everything(
    space: str, kind: type[BaseSampler], make_study: Make
) -> None:
    assert type(sampler(make_study(space=space, sampler="auto"))) is kind


@pytest.mark.parametrize(
    ("name", "kind"), [("gp", GPSampler), ("tpe", TPESampler), ("random", RandomSampler)]
)
def test_a_named_sampler_is_taken(name: str, kind: type[BaseSampler], make_study: Make) -> None:
    assert type(sampler(make_study(sampler=name))) is kind


def drawn(config: StudyConfig, trials_so_far: int = 0) -> float:
    study = optuna.create_study(sampler=sampler(config, trials_so_far=trials_so_far))
    return space_of(config).suggest(study.ask()).learning_rate


@pytest.mark.parametrize("name", ["random", "tpe", "gp"])
def test_the_same_start_draws_the_same_and_a_restart_another(name: str, make_study: Make) -> None:
    config = make_study(sampler=name, space=RATE)
    assert drawn(config) == drawn(config)
    assert drawn(config) != drawn(config, trials_so_far=1)
    other = config.study.model_copy(update={"seed": 7})
    assert drawn(config) != drawn(config.model_copy(update={"study": other}))


@pytest.mark.parametrize("name", ["tpe", "gp"])
@pytest.mark.parametrize(("seeds", "known", "models"), [(0, 4, False), (0, 5, True), (8, 7, False)])
def test_modelling_begins_once_five_trials_and_all_seeds_are_known(
    name: str, seeds: int, known: int, models: bool, make_study: Make
) -> None:
    """Until then both draw at random, which what is known cannot change."""
    config = make_study(sampler=name, space=RATE)
    space = space_of(config)
    rates = [[1e-5 * (1 + shift) * 2**k for k in range(known)] for shift in (0, 1)]

    def next_rate(values: list[float]) -> float:
        study = optuna.create_study(direction="maximize", sampler=sampler(config, seeds=seeds))
        distribution = optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True)
        for rate in values:
            study.add_trial(
                create_trial(
                    value=-rate,
                    params={"learning_rate": rate},
                    distributions={"learning_rate": distribution},
                )
            )
        return space.suggest(study.ask()).learning_rate

    assert (next_rate(rates[0]) != next_rate(rates[1])) == models
