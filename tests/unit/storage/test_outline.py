"""Outlines tell what Optuna tells, from both databases, while others write and after they died."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial

from optimizer.storage.database import open_storage, storage_url
from optimizer.storage.outline import SCHEMA_VERSION, OutlineError, OutlineReader

TOLD = ("number", "state", "values", "datetime_start", "datetime_complete", "user_attrs")


def new_study(folder: Path, database: str | None, directions: int = 1) -> optuna.Study:
    storage = open_storage(storage_url(folder, database))
    return optuna.create_study(
        storage=storage, study_name="s", directions=["maximize"] * directions
    )


def reader(folder: Path, database: str | None = None) -> OutlineReader:
    return OutlineReader(storage_url(folder, database), "s")


def told(trial: FrozenTrial) -> list[object]:
    return [trial._trial_id, *(getattr(trial, name) for name in TOLD)]


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
def test_an_outline_tells_what_optuna_tells(tmp_path: Path, database: str | None) -> None:
    new_study(tmp_path, database).add_trial(create_trial(value=9.0))
    optuna.delete_study(
        study_name="s", storage=open_storage(storage_url(tmp_path, database))
    )  # so that Optuna's ids are not the numbers
    study = new_study(tmp_path, database, directions=2)
    study.set_user_attr("family", "sdxl")
    study._storage.set_study_system_attr(study._study_id, "dashboard:1:note_str:0", "pick: 2")
    study.enqueue_trial({"x": 1.0}, user_attrs={"seed_id": "a"})
    study.add_trial(create_trial(values=[0.5, float("inf")], user_attrs={"deep": {"怪": [1]}}))
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.ask()
    outline = reader(tmp_path, database).read()
    assert list(map(told, outline.get_trials())) == list(map(told, study.get_trials()))
    assert outline.user_attrs == study.user_attrs
    assert outline.directions == study.directions
    notes = outline._storage.get_study_system_attrs(outline._study_id)
    assert notes == study._storage.get_study_system_attrs(study._study_id)


def test_many_trials_are_read_in_one_go(tmp_path: Path, database: str | None) -> None:
    study = new_study(tmp_path, database)
    study.add_trials([create_trial(value=n / 9, user_attrs={"n": n}) for n in range(150)])
    optuna.create_study(storage=study._storage).add_trial(create_trial(value=0.1))
    outline = reader(tmp_path, database).read()
    assert list(map(told, outline.get_trials())) == list(map(told, study.get_trials()))


def test_what_ended_is_read_once(tmp_path: Path, database: str | None) -> None:
    study, read = new_study(tmp_path, database), reader(tmp_path, database).read
    study.add_trial(create_trial(value=0.5))
    study.ask()
    ended, running = read().get_trials(deepcopy=False)
    study.trials  # noqa: B018  # as another process would
    study._storage.set_trial_user_attr(running._trial_id, "epoch", 3)
    again, further = read().get_trials(deepcopy=False)
    assert again is ended
    assert further.user_attrs == {"epoch": 3}
    study.tell(1, 0.7)
    assert [trial.value for trial in read().trials] == [0.5, 0.7]


def test_an_outline_is_not_written_to(tmp_path: Path) -> None:
    study = new_study(tmp_path, None)
    study.add_trial(create_trial(value=0.5))
    outline = reader(tmp_path).read()
    with pytest.raises(KeyError):
        outline._storage.set_trial_user_attr(outline.trials[0]._trial_id, "a", 1)
    outline.set_user_attr("a", 1)
    assert reader(tmp_path).read().user_attrs == {}


def test_other_tables_and_other_studies_are_left_to_optuna(tmp_path: Path) -> None:
    assert models.SCHEMA_VERSION == SCHEMA_VERSION
    new_study(tmp_path, None)
    with pytest.raises(OutlineError, match="no study other"):
        OutlineReader(storage_url(tmp_path, None), "other").read()
    with sqlite3.connect(tmp_path / "optimizer.db") as connection:
        connection.execute("UPDATE version_info SET schema_version = 11")
    with pytest.raises(OutlineError, match="another Optuna"):
        reader(tmp_path).read()


def test_a_database_in_the_middle_of_a_write(tmp_path: Path) -> None:
    new_study(tmp_path, None).add_trial(create_trial(value=0.5))
    connection = sqlite3.connect(tmp_path / "optimizer.db")
    connection.execute("UPDATE trials SET state = 'FAIL'")
    assert reader(tmp_path).read().trials[0].state is TrialState.COMPLETE
    connection.commit()
    assert reader(tmp_path).read().trials[0].state is TrialState.FAIL


def test_a_database_whose_writer_was_killed(tmp_path: Path) -> None:
    """Half a transaction lies in the file, and what it replaced in a journal beside it."""
    here, there = tmp_path / "ein Ort", tmp_path / "killed #1?"
    new_study(here, None).add_trial(create_trial(value=0.5))
    connection = sqlite3.connect(here / "optimizer.db")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("UPDATE trials SET state = 'FAIL'")
    for n in range(2000):  # more than it keeps in memory
        connection.execute(
            "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, ?, '1')",
            (f"key {n}",),
        )
    shutil.copytree(here, there)
    assert (there / "optimizer.db-journal").stat().st_size
    (trial,) = reader(there).read().trials
    assert (trial.state, trial.user_attrs) == (TrialState.COMPLETE, {})
