"""Signals that come in the middle of an update."""

import os
import signal
from collections.abc import Iterator

import pytest

from optimizer.training.postponed import postponed_signals


@pytest.fixture
def raising() -> Iterator[None]:
    """SIGTERM raises, as it does while a study runs."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, before)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.usefixtures("raising")
def test_signal_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"), postponed_signals():
        kill()
        done.append("update")
    assert done == ["update"]


@pytest.mark.usefixtures("raising")
def test_second_signal_does_not_wait() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), postponed_signals():
        kill()
        kill()
        done.append("update")
    assert done == []


@pytest.mark.usefixtures("raising")
def test_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with postponed_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with postponed_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
