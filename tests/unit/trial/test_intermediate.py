"""Asking whether a trial is hopeless: an answer, whatever has become of its study."""

import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.pruners import NopPruner, ThresholdPruner
from optuna.trial import TrialState

from optimizer.errors import StudyError
from optimizer.trial.intermediate import is_hopeless, report_value


def begun(storage: str | None = None, below: float = 0.5) -> optuna.Trial:
    """A trial with one value, 0.4, of a study that gives up what is worth less than `below`."""
    study = optuna.create_study(
        direction="maximize", storage=storage, pruner=ThresholdPruner(lower=below)
    )
    trial = study.ask()
    report_value(trial, 0.4, 2)
    return trial


@pytest.mark.parametrize(("below", "hopeless"), [(0.5, True), (0.3, False)])
def test_the_pruner_of_the_study_is_asked(below: float, hopeless: bool) -> None:
    trial = begun(below=below)
    assert is_hopeless(trial, 0.02) == hopeless
    assert trial.user_attrs["objective_se"] == 0.02


def test_a_study_without_a_pruner_gives_nothing_up() -> None:
    trial = begun()
    trial.study.pruner = NopPruner()
    assert not is_hopeless(trial, 0.02)


def test_a_trial_that_was_ended_from_outside_goes_on() -> None:
    trial = begun()
    trial.study.tell(trial.number, state=TrialState.FAIL)
    assert not is_hopeless(trial, 0.02)


def test_a_trial_of_a_deleted_study_does_not(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'a.db'}"
    trial = begun(storage)
    optuna.delete_study(study_name=trial.study.study_name, storage=storage)
    with pytest.raises(StudyError, match="the study of trial 0 was deleted"):
        is_hopeless(trial, 0.02)


def test_a_trial_whose_database_does_not_answer_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = begun(f"sqlite:///{tmp_path / 'a.db'}")
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("DROP TABLE trial_user_attributes")
    assert not is_hopeless(trial, 0.02)
    assert "trial 0 goes on, whatever it is worth" in caplog.text
