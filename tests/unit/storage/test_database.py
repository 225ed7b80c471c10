"""Databases by URL: what cannot be opened is said in a sentence, and never with a password."""

import sqlite3
import threading
from pathlib import Path

import optuna
import pytest
from sqlalchemy.engine import make_url

from optimizer.errors import StorageError, StudyError
from optimizer.storage.database import open_storage, storage_url

READ_ONLY = Path("/proc/sys")
"""A folder that nobody can write to, not even root."""


def test_the_default_is_a_file_in_the_studys_folder(tmp_path: Path) -> None:
    url = storage_url(tmp_path / "small", None)
    assert (url.drivername, url.database) == ("sqlite", str(tmp_path / "small" / "optimizer.db"))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_reached_through_psycopg(scheme: str, tmp_path: Path) -> None:
    url = storage_url(tmp_path, f"{scheme}://me:pw@host:5433/db")
    assert url == make_url("postgresql+psycopg://me:pw@host:5433/db")


def test_a_url_may_stand_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_DATABASE", "postgresql://me:sesame@host/db")
    url = storage_url(tmp_path, "env:STUDY_DATABASE")
    assert (url.host, url.password) == ("host", "sesame")


def test_a_missing_variable_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDY_DATABASE", raising=False)
    with pytest.raises(StorageError, match="the variable STUDY_DATABASE is not set"):
        storage_url(tmp_path, "env:STUDY_DATABASE")


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "nonsense",
        "runs/study.db",
        "postgresql://me:sesame@host:port/db",
        "postgresql://me:open:sesame@host/db@",
        "postgresql://me:p@ss:sesame@host/db",
    ],
)
def test_nonsense_is_no_url_and_its_password_stays_unsaid(nonsense: str, tmp_path: Path) -> None:
    try:
        open_storage(storage_url(tmp_path, nonsense))
    except StorageError as error:
        chain = [error, error.__cause__]
        assert not any("sesame" in str(link) for link in chain)
        assert "\n" not in str(error)
    else:
        pytest.fail("was opened")


def test_an_unreachable_postgresql_is_said_without_its_password(tmp_path: Path) -> None:
    url = storage_url(tmp_path, "postgresql://me:sesame@127.0.0.1:1/db")
    with pytest.raises(StorageError) as refused:
        open_storage(url)
    assert "127.0.0.1:1/db cannot be opened" in str(refused.value)
    assert "sesame" not in str(refused.value)
    assert len(refused.value.problems) == 1


def test_a_wrong_database_on_a_real_server_is_said(postgres_url: str, tmp_path: Path) -> None:
    url = storage_url(tmp_path, postgres_url.replace("/postgres?", "/no_such_database?"))
    with pytest.raises(StorageError, match=r'"no_such_database" does not exist'):
        open_storage(url)


@pytest.mark.parametrize("url", ["mysql://me:sesame@host/db", "oracle+nothing://me:sesame@host/db"])
def test_a_missing_driver_is_said_with_what_to_install(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="its driver is not installed") as refused:
        open_storage(storage_url(tmp_path, url))
    assert 'pip install "lora-optimizer[postgres]"' in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/small cannot be made"):
        open_storage(storage_url(tmp_path / "file" / "small", None))


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="needs Linux' /proc")
def test_a_read_only_folder_is_said() -> None:
    with pytest.raises(StorageError, match=r"optimizer\.db cannot be opened"):
        open_storage(storage_url(READ_ONLY, None))


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "optimizer.db").write_text("this is not SQLite, whatever its name says")
    with pytest.raises(StorageError, match="file is not a database"):
        open_storage(storage_url(tmp_path, None))


def test_reading_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no study there yet; start it with `optimizer run`"):
        open_storage(storage_url(tmp_path / "small", None), create=False)
    assert not list(tmp_path.iterdir())


def test_what_is_stored_is_there_after_opening_again(database: str | None, tmp_path: Path) -> None:
    url = storage_url(tmp_path, database)
    optuna.create_study(study_name="kept", storage=open_storage(url)).set_user_attr("a", [1, "ü"])
    again = optuna.load_study(study_name="kept", storage=open_storage(url, create=False))
    assert again.user_attrs == {"a": [1, "ü"]}


def test_a_busy_sqlite_is_waited_for(tmp_path: Path) -> None:
    url = storage_url(tmp_path, None)
    study = optuna.create_study(storage=open_storage(url))
    writer = sqlite3.connect(str(url.database), isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.2, lambda: writer.execute("COMMIT")).start()
    study.set_user_attr("written", "after the other let go")
    assert study.user_attrs == {"written": "after the other let go"}
