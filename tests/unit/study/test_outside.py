"""What others do to a study while a trial of it runs."""

import json
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.errors import DatasetError, StudyError
from optimizer.study.loop import StudyResult
from optimizer.study.open import open_study
from optimizer.study.results import counted_trials
from optimizer.trial.intermediate import report_value

Make = Callable[..., StudyConfig]
Run = Callable[..., StudyResult]


def teller(config: StudyConfig, count: int, **told: Any) -> Callable[[optuna.Trial, int], None]:
    """Ends a trial over another connection, as the dashboard would."""

    def tell(trial: optuna.Trial, begun: int) -> None:
        checkpoints = config.folder / f"trial_{trial.number:04d}" / "checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "small.safetensors").write_text(f"the LoRA of trial {trial.number}")
        report_value(trial, 0.1, 1)
        if begun == count:
            open_study(config).tell(trial.number, **told)
            report_value(trial, 0.2, 2)

    return tell


@pytest.mark.parametrize("told", [{"values": 0.99}, {"state": TrialState.FAIL}])
def test_a_result_outlives_its_trial_being_told_from_outside(
    told: dict[str, Any], make_study: Make, database: str | None, run_values: Run, audience: Any
) -> None:
    config = make_study(storage=database)
    result = run_values(config, [0.3, 0.8, 0.4], during=teller(config, 1, **told))
    counted = counted_trials(open_study(config))
    assert [(t.number, t.value) for t in counted] == [(0, 0.3), (2, 0.8), (3, 0.4)]
    again = counted[1]
    assert again.user_attrs["result_of"] == 1
    assert again.params == result.study.trials[1].params
    assert again.intermediate_values == {1: 0.1}
    assert result.best is not None
    assert (result.best.number, result.best.checkpoint.parts[-3]) == (2, "trial_0001")
    shared = config.folder / "trial_0002" / "checkpoints" / "small.safetensors"
    assert shared.read_text() == result.best.checkpoint.read_text() == "the LoRA of trial 1"
    assert json.loads((config.folder / "best_params.json").read_text())["_study"]["trial"] == 2
    assert audience.ended == [0, 2, 3]
    assert audience.best == [0, 2]


def test_a_seed_told_from_outside_stays_a_seed(make_study: Make, run_values: Run) -> None:
    config = make_study()
    tell = teller(config, 0, state=TrialState.FAIL)
    run_values(config, during=tell, seeds=[{"network_dim": 8}])
    assert "seed_id" in counted_trials(open_study(config))[0].user_attrs


def test_a_deleted_study_stops_with_one_sentence_and_its_files_stay(
    make_study: Make, database: str | None, run_values: Run
) -> None:
    config = make_study(storage=database)

    def delete(trial: optuna.Trial, count: int) -> None:
        folder = config.folder / f"trial_{trial.number:04d}"
        folder.mkdir()
        if count == 1:
            study = open_study(config)
            optuna.delete_study(study_name=config.name, storage=study._storage)

    with pytest.raises(StudyError, match=r"study small was deleted .* while it ran") as stopped:
        run_values(config, during=delete)
    assert len(stopped.value.problems) == 1
    assert (config.folder / "trial_0001").is_dir()
    with pytest.raises(StudyError, match=r"holds trials .* move the folder away"):
        run_values(config)


def test_reporting_to_a_deleted_study_ends_the_training(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    trial = study.ask()
    optuna.delete_study(study_name=config.name, storage=study._storage)
    with pytest.raises(StudyError, match="the study of trial 0 was deleted"):
        report_value(trial, 0.5, 1)


def test_bad_input_in_mid_study_leaves_the_trial_to_be_run_again(
    make_study: Make, database: str | None, run_values: Run
) -> None:
    config = make_study(storage=database)

    def vanish(trial: optuna.Trial, count: int) -> None:
        if count == 1:
            raise DatasetError("a picture vanished")

    with pytest.raises(DatasetError, match="vanished"):
        run_values(config, during=vanish)
    first, second, copy = open_study(config).trials
    assert [t.state.name for t in (first, second, copy)] == ["COMPLETE", "FAIL", "WAITING"]
    assert copy.user_attrs["retry_of"] == {"trials": [1], "retries": 0}
    run_values(config)
    assert open_study(config).trials[2].params == second.params
