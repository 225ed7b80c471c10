"""Which sampler searches which space, and where each begins."""

import logging
import math
import statistics
from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import create_trial

from optimizer.config.study import StudyConfig
from optimizer.errors import ConfigError
from optimizer.study.open import open_study, space_of
from optimizer.study.samplers import build_sampler, check_sampler

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


def test_auto_leaves_very_many_trials_to_tpe(make_study: Make) -> None:
    """A Gaussian process would think longer than a trial takes."""
    config = make_study(space=RATE, sampler="auto")
    assert type(sampler(config, trials_so_far=499)) is GPSampler
    assert type(sampler(config, trials_so_far=500)) is TPESampler
    named = make_study(space=RATE, sampler="gp")
    assert type(sampler(named, trials_so_far=500)) is GPSampler


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gp", GPSampler),
        ("tpe", TPESampler),
        ("random", RandomSampler),
        ("qmc", QMCSampler),
        ("nsga2", NSGAIISampler),
    ],
)
def test_a_named_sampler_is_taken(name: str, kind: type[BaseSampler], make_study: Make) -> None:
    assert type(sampler(make_study(sampler=name))) is kind


def drawn(config: StudyConfig, trials_so_far: int = 0) -> float:
    study = optuna.create_study(sampler=sampler(config, trials_so_far=trials_so_far))
    return space_of(config).suggest(study.ask()).learning_rate


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "qmc", "nsga2"])
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

    def next_rate(values: list[float], begun: int) -> float:
        study = optuna.create_study(
            direction="maximize", sampler=sampler(config, seeds=seeds, trials_so_far=begun)
        )
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

    # More than one draw: TPE may take one from its prior, which is the same in both.
    drawn = [[next_rate(known, begun) for begun in range(4)] for known in rates]
    assert (drawn[0] != drawn[1]) == models


def points(config: StudyConfig, count: int, *, anew: bool) -> list[float]:
    """Learning rates drawn one after another, by one sampler or by a new one for each."""
    study = optuna.create_study(direction="maximize", sampler=sampler(config))
    space = space_of(config)
    found = []
    for number in range(count):
        if anew:
            study.sampler = sampler(config, trials_so_far=number)
        trial = study.ask()
        found.append(space.suggest(trial).learning_rate)
        study.tell(trial, -abs(found[-1] - 1e-3))
    return found


def test_a_sampler_built_anew_for_each_trial_goes_on_in_its_sobol_sequence(
    make_study: Make,
) -> None:
    config = make_study(sampler="qmc", space=RATE)
    drawn = points(config, 9, anew=True)
    assert drawn == points(config, 9, anew=False)
    # The first one is random; of eight in a row each eighth of the range holds one.
    eighths = {int(8 * (math.log10(rate) + 5) / 3) for rate in drawn[1:]}
    assert eighths == set(range(8))
    other = config.study.model_copy(update={"seed": 7})
    assert points(config.model_copy(update={"study": other}), 9, anew=True)[1:] != drawn[1:]


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "nsga2"])
def test_a_sampler_built_anew_for_each_trial_never_repeats_a_draw(
    name: str, make_study: Make
) -> None:
    drawn = points(make_study(sampler=name, space=RATE), 8, anew=True)
    assert len(set(drawn)) == 8


def test_generations_go_on_when_the_sampler_is_built_anew(make_study: Make) -> None:
    config = make_study(sampler="nsga2")
    study = optuna.create_study(direction="maximize")
    for number in range(25):
        study.sampler = sampler(config, trials_so_far=number)
        trial = study.ask()
        study.tell(trial, space_of(config).suggest(trial).learning_rate)
    generations = [t.system_attrs["NSGAIISampler:generation"] for t in study.trials]
    assert generations == [0] * 10 + [1] * 10 + [2] * 5


def test_seeds_a_few_apart_do_not_draw_alike(make_study: Make) -> None:
    config = make_study(sampler="random", space=RATE)
    other = config.study.model_copy(update={"seed": config.study.seed + 1})
    assert drawn(config, 1) != drawn(config.model_copy(update={"study": other}), 0)


def two_numbers(rest: str = "") -> str:
    return RATE + '[parameters.weight_decay]\ntype = "float"\nlow = 0.0\nhigh = 0.1\n' + rest


def test_studies_of_other_names_draw_otherwise(make_study: Make) -> None:
    """Else an SDXL study would begin with what its SD1.5 study has tried."""
    config = make_study(sampler="random", space=RATE)
    renamed = config.study.model_copy(update={"name": "another"})
    other = config.model_copy(update={"study": renamed})
    assert points(config, 3, anew=True) != points(other, 3, anew=True)


@pytest.mark.parametrize(
    ("name", "space", "words"),
    [
        ("gp", CONSTRAINED, r"study.sampler = 'gp' does not learn which .* take \"tpe\""),
        ("cmaes", CONDITIONAL, "knows numbers only and lr_scheduler is categorical"),
        ("cmaes", RATE, "needs two parameters or more"),
        ("cmaes", two_numbers().replace("0.1", "0.0"), "needs two parameters or more"),
    ],
)
def test_a_sampler_that_cannot_search_the_space_is_refused(
    name: str, space: str, words: str, make_study: Make
) -> None:
    config = make_study(sampler=name, space=space)
    with pytest.raises(ConfigError, match=words):
        open_study(config)


def test_cma_es_built_anew_for_each_trial_finds_its_covariance(make_study: Make) -> None:
    config = make_study(sampler="cmaes", space=two_numbers())
    rates = points(config, 60, anew=True)
    assert statistics.pstdev(rates[-15:]) < statistics.pstdev(rates[:15])


@pytest.mark.parametrize(("name", "warns"), [("gp", True), ("qmc", True), ("tpe", False)])
def test_drawing_conditional_parameters_at_random_is_said(
    name: str, warns: bool, make_study: Make, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_study(sampler=name, space=CONDITIONAL)
    with caplog.at_level(logging.WARNING):
        check_sampler(config, space_of(config))
    said = f"study.sampler = '{name}' draws lr_scheduler_num_cycles at random" in caplog.text
    assert said == warns
