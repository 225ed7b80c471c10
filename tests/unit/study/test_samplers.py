"""Which sampler a study gets."""

from collections.abc import Callable

import pytest
from optuna.samplers import GPSampler, RandomSampler, TPESampler

from optimizer.config.study import StudyConfig
from optimizer.study.open import open_study, space_of
from optimizer.study.samplers import build_sampler

Make = Callable[..., StudyConfig]

RATE = '[parameters.learning_rate]\ntype = "float"\nlow = 1e-5\nhigh = 1e-3\n'
RULE = '[[constraints]]\nrule = "learning_rate < 1"\nreason = "too fast"\n'
CONDITIONAL = (
    '[parameters.lr_scheduler]\ntype = "categorical"\nchoices = ["cosine", "linear"]\n'
    '[parameters.lr_warmup_steps]\ntype = "int"\nlow = 1\nhigh = 9\n'
    'when = { lr_scheduler = ["linear"] }\n'
)


@pytest.mark.parametrize(
    ("sampler", "space", "kind"),
    [
        ("auto", RATE, GPSampler),
        ("auto", RATE + RULE, TPESampler),
        ("auto", RATE + CONDITIONAL, TPESampler),
        ("gp", RATE + RULE, GPSampler),
        ("tpe", RATE, TPESampler),
        ("random", RATE, RandomSampler),
    ],
)
def test_a_gaussian_process_is_taken_where_the_space_allows(
    sampler: str, space: str, kind: type, make_study: Make
) -> None:
    config = make_study(sampler=sampler, space=space)
    built = build_sampler(config.study, space_of(config), seeds=0, trials_so_far=0)
    assert type(built) is kind


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
def test_the_same_study_draws_the_same_and_a_later_start_draws_other_points(
    sampler: str, make_study: Make
) -> None:
    config = make_study(sampler=sampler)

    def first_rate(trials_so_far: int) -> float:
        study = open_study(config)
        study.sampler = build_sampler(
            config.study, space_of(config), seeds=0, trials_so_far=trials_so_far
        )
        return space_of(config).suggest(study.ask()).learning_rate

    assert first_rate(0) == first_rate(0) != first_rate(3)
