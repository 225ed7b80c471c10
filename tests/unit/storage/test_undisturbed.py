"""A signal never ends a call to the database halfway."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from optimizer.storage.database import open_storage
from optimizer.study.signals import interruptible


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    url = URL.create("sqlite", database=str(tmp_path / "optimizer.db"))
    return optuna.create_study(storage=open_storage(url))


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """As many signals as it is given are sent to this process from within its next statement."""
    wanted: list[int] = []

    def send(*_: Any) -> None:
        while wanted:
            signal.raise_signal(wanted.pop())

    event.listen(Engine, "after_cursor_execute", send)
    yield wanted
    event.remove(Engine, "after_cursor_execute", send)


def written(study: optuna.Study) -> dict[str, Any]:
    fresh: BaseStorage = study._storage
    return fresh.get_study_user_attrs(study._study_id)


def test_a_signal_waits_for_the_end_of_the_call(study: optuna.Study, signals: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), interruptible():
        signals.append(signal.SIGTERM)
        study.set_user_attr("written", True)
        pytest.fail("the signal was lost")
    assert written(study) == {"written": True}


def test_the_second_signal_does_not_wait(study: optuna.Study, signals: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGHUP"), interruptible():
        signals += [signal.SIGHUP, signal.SIGTERM]
        study.set_user_attr("written", True)
    assert written(study) == {}


def test_a_signal_outside_a_call_is_heard_at_once(study: optuna.Study) -> None:
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), interruptible():
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the signal was not heard")


def test_calls_of_other_threads_hold_nothing_back(study: optuna.Study, signals: list[int]) -> None:
    held, over = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        held.set()
        over.wait(10)

    event.listen(Engine, "after_cursor_execute", wait, once=True)
    writer = threading.Thread(target=study.set_user_attr, args=("written", True))
    writer.start()
    held.wait(10)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    over.set()
    writer.join()
    assert written(study) == {"written": True}
