"""Workers take turns, whatever database they share."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from optimizer.storage.database import storage_url
from optimizer.storage.turns import one_at_a_time


def crowd(work: Callable[[], None], size: int = 3) -> None:
    threads = [threading.Thread(target=work) for _ in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_one_worker_at_a_time_has_the_turn(database: str | None, tmp_path: Path) -> None:
    url, inside, most = storage_url(tmp_path, database), [0], []

    def work() -> None:
        for _ in range(5):
            with one_at_a_time(url, tmp_path):
                inside[0] += 1
                most.append(inside[0])
                threading.Event().wait(0.002)
                inside[0] -= 1

    crowd(work)
    assert len(most) == 15
    assert max(most) == 1


def test_hosts_without_a_shared_folder_take_turns_in_postgresql(
    postgres_database: str, tmp_path: Path
) -> None:
    url, order = storage_url(tmp_path, postgres_database), []
    first, second = tmp_path / "a" / "small", tmp_path / "b" / "small"
    begun = threading.Event()

    def other() -> None:
        begun.set()
        with one_at_a_time(url, second):
            order.append("second")

    thread = threading.Thread(target=other)
    with one_at_a_time(url, first):
        thread.start()
        begun.wait()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_studies_in_one_database_do_not_wait_for_each_other(
    postgres_database: str, tmp_path: Path
) -> None:
    url = storage_url(tmp_path, postgres_database)
    with one_at_a_time(url, tmp_path / "one"), one_at_a_time(url, tmp_path / "other"):
        pass


def test_a_turn_ends_without_a_word_when_its_database_goes_away(
    postgres_database: str, tmp_path: Path
) -> None:
    url = storage_url(tmp_path, postgres_database)
    with one_at_a_time(url, tmp_path), create_engine(url).begin() as connection:
        # As a restart of the server would.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with one_at_a_time(url, tmp_path):
        pass


def test_a_database_that_is_not_there_is_no_turn(tmp_path: Path) -> None:
    url = storage_url(tmp_path, "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(OperationalError), one_at_a_time(url, tmp_path):
        raise AssertionError("had a turn")
