"""Who holds a running trial, so that the trials of dead workers are found at once."""

import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import psutil

from optimizer.storage.outage import OUTAGES
from optimizer.trial import attrs

logger = logging.getLogger(__name__)

BEAT_SECONDS = 60.0
LOST_AFTER_SECONDS = 600.0
"""Without a sign of life a worker of another host, whose process cannot be looked for, is dead."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Lease:
    """One process on one machine since one boot; a process id alone is soon reused."""

    host: str
    boot_id: str
    pid: int
    started: float
    """When the process started, in seconds since the epoch."""
    since: float = 0.0
    """When the trial was taken; likewise."""
    seen: float = 0.0
    """When the holder last gave a sign of life; likewise, by its own clock."""

    @classmethod
    def mine(cls) -> "Lease":
        """The lease of this process, from now on."""
        pid, now = os.getpid(), time.time()
        return cls(platform.node(), _boot_id(), pid, psutil.Process(pid).create_time(), now, now)

    def is_mine(self) -> bool:
        """Whether this process is the holder."""
        return (self.host, self.boot_id, self.pid) == (platform.node(), _boot_id(), os.getpid())

    def is_dead(self) -> bool:
        """Whether the holder is gone: certainly on this host, by its silence on others."""
        if self.host != platform.node():
            return time.time() - self.seen > LOST_AFTER_SECONDS
        if self.boot_id != _boot_id():
            return True
        try:
            holder = psutil.Process(self.pid)
            # A killed process keeps its id until its parent, in a container often none, asks.
            gone = holder.status() == psutil.STATUS_ZOMBIE
            return gone or abs(holder.create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a trial's user_attrs."""
        return asdict(self)


def lease_of(trial: optuna.trial.FrozenTrial) -> Lease | None:
    """The lease of a trial; None where its worker died before it could sign."""
    signed = trial.user_attrs.get(attrs.LEASE)
    return Lease(**signed) if signed else None


@contextmanager
def lease_renewed(trial: optuna.Trial, lease: Lease) -> Iterator[None]:
    """Give signs of life from a thread while the block runs."""
    over = threading.Event()
    arguments = (trial.study._storage, trial._trial_id, lease, over)
    thread = threading.Thread(target=_renew, args=arguments, daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=1)  # not for as long as a database that went away may take


def _renew(
    storage: optuna.storages.BaseStorage, trial_id: int, lease: Lease, over: threading.Event
) -> None:
    while not over.wait(BEAT_SECONDS):
        renewed = replace(lease, seen=time.time())
        try:
            storage.set_trial_user_attr(trial_id, attrs.LEASE, renewed.as_dict())
        except (optuna.exceptions.UpdateFinishedTrialError, KeyError):
            return  # ended or deleted from outside: said when the trial's own result is told
        except OUTAGES as error:
            logger.warning("no sign of life could be given: %s", error)


def _boot_id() -> str:
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text().strip()
    return str(psutil.boot_time())
