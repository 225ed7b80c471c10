"""Ctrl-C, kill and a closed terminal all stop a study the same orderly way."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn signals into KeyboardInterrupt, also where nohup or make has SIGINT ignored."""
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _SIGNALS:
            # nohup asks for SIGHUP to be ignored, and means it.
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            before[number] = signal.signal(number, _raise)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
