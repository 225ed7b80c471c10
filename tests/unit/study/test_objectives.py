"""Studies of several objectives: a front for those who want one, one best trial for the rest."""

from collections.abc import Callable

import optuna
import pytest

from optimizer.config.study import StudyConfig
from optimizer.errors import ConfigError, StudyError
from optimizer.study.loop import StudyResult
from optimizer.study.results import best_trial
from optimizer.trial.intermediate import is_hopeless, report_value
from optimizer.trial.worth import worth

Make = Callable[..., StudyConfig]
Run = Callable[..., StudyResult]
SEVERAL = 'objectives = ["clip_i", "clip_t"]'


def test_optuna_is_told_each_objective_and_people_one(
    make_study: Make, run_values: Run, database: str | None
) -> None:
    config = make_study(storage=database, scoring=SEVERAL)
    study = run_values(config, [0.2, None, 0.7, 0.4], n_trials=4).study
    assert study.metric_names == ["clip_i", "clip_t"]
    values = [trial.values for trial in study.trials]
    assert values == [[0.2, 0.8], [0.0, 0.0], [0.7, pytest.approx(0.3)], [0.4, 0.6]]
    assert [trial.number for trial in study.best_trials] == [0, 2, 3]
    assert [worth(trial) for trial in study.trials] == [0.2, None, 0.7, 0.4]
    best = best_trial(study, config.folder)
    assert best is not None
    assert (best.number, best.value) == (2, 0.7)


@pytest.mark.parametrize("sampler", ["auto", "gp", "tpe", "nsga2", "random", "qmc"])
def test_samplers_search_a_front(make_study: Make, run_values: Run, sampler: str) -> None:
    config = make_study(scoring=SEVERAL, sampler=sampler)
    study = run_values(config, [k / 10 for k in range(8)], n_trials=8).study
    assert len(study.best_trials) == 8
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 8


def test_a_sampler_of_one_objective_is_refused(make_study: Make, run_values: Run) -> None:
    space = '[parameters.learning_rate]\ntype = "float"\nlow = 1e-5\nhigh = 1e-2\nlog = true\n'
    config = make_study(scoring=SEVERAL, sampler="cmaes", space=space)
    with pytest.raises(ConfigError, match="knows one objective"):
        run_values(config)


def test_no_trial_is_ended_early(make_study: Make, run_values: Run) -> None:
    """Optuna knows no intermediate values of several objectives, and raises."""
    hopeless: list[bool] = []

    def during(trial: optuna.Trial, count: int) -> None:
        report_value(trial, 0.0, 1)
        hopeless.append(is_hopeless(trial, 0.1))

    study = run_values(make_study(scoring=SEVERAL), [0.5] * 3, during=during).study
    assert hopeless == [False] * 3
    assert not any(trial.intermediate_values for trial in study.trials)


def test_a_result_told_from_outside_is_recorded_anew(make_study: Make, run_values: Run) -> None:
    def during(trial: optuna.Trial, count: int) -> None:
        if count == 0:
            trial.study.tell(trial.number, [1.0, 1.0])

    study = run_values(make_study(scoring=SEVERAL), [0.3, 0.4, 0.5], during=during).study
    assert study.trials[1].values == [0.3, 0.7]
    assert study.trials[1].user_attrs["result_of"] == 0


def test_objectives_are_part_of_a_study(make_study: Make, run_values: Run) -> None:
    run_values(make_study())
    with pytest.raises(StudyError, match="made with another scoring"):
        run_values(make_study(scoring=SEVERAL))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('objectives = ["clip_i"]', "must be two metrics or more"),
        ('objectives = ["clip_i", "clip_i"]', "must differ"),
        ('objectives = ["clip_i", "beauty"]', 'found "beauty"'),
    ],
)
def test_objectives_that_are_none_are_refused(make_study: Make, line: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_study(scoring=line)
