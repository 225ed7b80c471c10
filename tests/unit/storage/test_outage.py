"""A database that does not answer is asked again, for a while."""

import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from optimizer.errors import StorageError
from optimizer.storage.outage import outlast


@pytest.fixture
def locked(tmp_path: Path) -> tuple[optuna.Study, sqlite3.Connection]:
    """A study in a SQLite file that another connection has locked; nobody waits for it."""
    path = tmp_path / "optimizer.db"
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 0}})
    study = optuna.create_study(storage=storage)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    return study, writer


def test_what_was_cut_off_is_done_when_the_database_is_back(
    locked: tuple[optuna.Study, sqlite3.Connection],
) -> None:
    study, writer = locked
    calls: list[int] = []

    def write() -> str:
        calls.append(1)
        if len(calls) == 3:
            writer.execute("COMMIT")
        study.set_user_attr("written", True)
        return "done"

    assert outlast(write, pause=0.001) == "done"
    assert len(calls) == 3
    assert study.user_attrs == {"written": True}


def test_a_database_that_never_answers_is_said_with_its_own_words(
    locked: tuple[optuna.Study, sqlite3.Connection],
) -> None:
    study, _ = locked
    with pytest.raises(StorageError, match=r"did not answer 3 times \(.*database is locked\)"):
        outlast(lambda: study.set_user_attr("a", 1), pause=0.001, attempts=3)


def test_other_errors_are_not_waited_for() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise KeyError("no such trial")

    with pytest.raises(KeyError):
        outlast(fail, pause=0.001)
    assert len(calls) == 1
