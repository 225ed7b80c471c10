"""Signals wait until a call to the database is over.

A KeyboardInterrupt in the middle of one leaves, now and then, a connection open with its
transaction: SQLite is then locked against everybody, this process included. Seldom it is raised
where Python can only print it, and is lost.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from optuna.storages import BaseStorage

_CALLS = [
    name
    for name, _ in inspect.getmembers(BaseStorage, inspect.isfunction)
    if not name.startswith("_")
]


class _Waiting:
    """What the main thread, the one that hears signals, is in the middle of."""

    depth = 0
    action: Callable[[], None] | None = None


def when_undisturbed(action: Callable[[], None]) -> None:
    """Do something now, or as soon as the main thread is in no call to the database.

    The second time at once: the database may never answer.
    """
    if _Waiting.depth and _Waiting.action is None:
        _Waiting.action = action
        return
    _Waiting.action = None
    action()


@contextmanager
def undisturbed() -> Iterator[None]:
    """What `when_undisturbed` is asked for meanwhile is done at the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Waiting.depth += 1
    try:
        yield
    finally:
        _Waiting.depth -= 1
        if not _Waiting.depth and (action := _Waiting.action):
            _Waiting.action = None
            action()


def hold_signals_back(storage: BaseStorage) -> BaseStorage:
    """Make each call of a storage undisturbed; returns it."""
    for name in _CALLS:
        setattr(storage, name, _undisturbed(getattr(storage, name)))
    return storage


def _undisturbed(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def run(*arguments: Any, **named: Any) -> Any:
        with undisturbed():
            return call(*arguments, **named)

    return run
