"""Locks of this machine: one process per card, one runner per study, and who holds them."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from optimizer.files import write_json


@dataclass(frozen=True)
class Holder:
    """The process that has a lock, and what for."""

    pid: int
    what: str
    since: str
    """Local time, ISO 8601."""

    def __str__(self) -> str:
        return f"process {self.pid} ({self.what}, since {self.since})"


class HeldError(Exception):
    """Somebody else has the lock; `holder` is None where that is not known."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(str(holder or "another process"))


@contextmanager
def held(name: str, what: str, *, patience: float = 0.0) -> Iterator[None]:
    """Have a lock that all users of this machine share; it goes with the process.

    Args:
        name: letters, digits, dots and dashes.
        what: told to those who want it meanwhile.
        patience: seconds to wait for it.

    Raises:
        HeldError: somebody else has it.
    """
    lock, told = _lock(name, patience), _folder() / f"{name}.json"
    try:
        lock.acquire()
    except Timeout:
        raise HeldError(_holder(told)) from None
    try:
        now = datetime.now().isoformat(sep=" ", timespec="seconds")
        write_json(told, asdict(Holder(os.getpid(), what, now)))
        yield
    finally:
        told.unlink(missing_ok=True)
        lock.release()


def is_held(name: str) -> bool:
    """Whether some process has the lock."""
    try:
        with _lock(name, 0.0):
            return False
    except Timeout:
        return True


def holder_of(name: str) -> Holder | None:
    """Who has the lock; None if nobody does or it is not known."""
    return _holder(_folder() / f"{name}.json") if is_held(name) else None


def _lock(name: str, patience: float) -> FileLock:
    return FileLock(_folder() / f"{name}.lock", timeout=patience, mode=0o666)


def _folder() -> Path:
    """Of the machine, not of one user: a card is shared by all of them."""
    folder = Path(tempfile.gettempdir()) / "lora-optimizer-locks"
    folder.mkdir(exist_ok=True)
    with suppress(PermissionError):  # another user made it
        # Not sticky: there the kernel keeps users from opening each other's files.
        folder.chmod(0o777)
    return folder


def _holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
