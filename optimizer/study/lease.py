"""Who holds a running trial, so that the trials of dead workers are found at once."""

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Lease:
    """One process on one machine since one boot; a process id alone is soon reused."""

    host: str
    boot_id: str
    pid: int
    started: float
    """When the process started, in seconds since the epoch."""

    @classmethod
    def mine(cls) -> "Lease":
        """The lease of this process."""
        pid = os.getpid()
        return cls(platform.node(), _boot_id(), pid, psutil.Process(pid).create_time())

    def is_dead(self) -> bool:
        """Whether the holder is certainly gone. Of other hosts nothing is certain."""
        if self.host != platform.node():
            return False
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


def _boot_id() -> str:
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text().strip()
    return str(psutil.boot_time())
