"""Ctrl-C, kill and a closed terminal all stop a study the same orderly way."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

from optimizer.storage.undisturbed import when_undisturbed

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def on_signals(handler: Callable[[int], None]) -> Iterator[None]:
    """Call `handler` with a signal's number, also where nohup or make has SIGINT ignored.

    In a call to the database it is called when that is over.
    """
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        when_undisturbed(lambda: handler(number))

    try:
        for number in _SIGNALS:
            # nohup asks for SIGHUP to be ignored, and means it.
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            before[number] = signal.signal(number, handle)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def interruptible() -> AbstractContextManager[None]:
    """Turn these signals into KeyboardInterrupt."""
    return on_signals(_raise)


def _raise(number: int) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
