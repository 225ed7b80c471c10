"""What counts, what is best, and where its file lies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from optimizer.config.study import StudyConfig
from optimizer.study.loop import StudyResult
from optimizer.study.results import best_trial, counted_trials, epochs_saved, feasible_trials


@pytest.fixture
def study() -> optuna.Study:
    """Three results, one infeasible, one told by hand, one refused and one failed."""

    def facts(number: int) -> dict[str, Any]:
        return {
            "feasible": True,
            "effective_params": {"network_dim": number},
            "checkpoint": f"trial_{number:04d}/checkpoints/a-000002.safetensors",
            "epoch": 2,
            "objective_se": 0.02,
        }

    study = optuna.create_study(direction="maximize")
    study.add_trial(create_trial(value=0.4, user_attrs=facts(0)))
    study.add_trial(create_trial(value=0.7, user_attrs=facts(1)))
    study.add_trial(create_trial(value=0.6, user_attrs=facts(2)))
    study.add_trial(create_trial(value=0.0, user_attrs={"feasible": False}))
    study.add_trial(create_trial(value=0.99))
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"feasible": False}))
    study.add_trial(create_trial(state=TrialState.FAIL))
    return study


def test_what_was_trained_and_told_counts(study: optuna.Study) -> None:
    assert [trial.number for trial in counted_trials(study)] == [0, 1, 2, 3]


def test_feasible_trials_come_best_first(study: optuna.Study) -> None:
    assert [trial.number for trial in feasible_trials(study)] == [1, 2, 0]


def test_the_best_has_its_effective_params_and_its_file(study: optuna.Study) -> None:
    best = best_trial(study, Path("runs/small"))
    assert best is not None
    assert (best.number, best.value, best.standard_error, best.epoch) == (1, 0.7, 0.02, 2)
    assert best.params == {"network_dim": 1}
    assert best.checkpoint == Path("runs/small/trial_0001/checkpoints/a-000002.safetensors")


def test_there_is_no_best_among_the_infeasible(
    make_study: Callable[..., StudyConfig],
    database: str | None,
    run_values: Callable[..., StudyResult],
) -> None:
    config = make_study(storage=database)
    result = run_values(config, [None, None, None])
    assert result.best is None
    assert result.new_trials == 3
    assert not (config.folder / "best_params.json").exists()


def test_epochs_saved_are_those_of_trials_that_say_how_far_they_came() -> None:
    told = [{"planned_epochs": 10, "trained_epochs": n} for n in (10, 4)]
    trials = [create_trial(value=0.5, user_attrs=facts) for facts in told]
    failed = create_trial(state=TrialState.FAIL, user_attrs={"planned_epochs": 10})
    assert epochs_saved([*trials, failed]) == (14, 20)
    assert epochs_saved([]) == (0, 0)
