"""Signals that wait until an update is whole."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def postponed_signals() -> Iterator[None]:
    """Hand a signal on to its own handler at the end of this block; a second one at once.

    Only handlers written in Python are postponed: what the system does by itself it still does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Callable[..., Any]] = {}
    waiting: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if waiting:
            handlers[number](number, frame)
        waiting.append(number)

    for known in _SIGNALS:
        if callable(handler := signal.getsignal(known)):
            handlers[known] = handler
            signal.signal(known, note)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if waiting:
            handlers[waiting[0]](waiting[0], None)
