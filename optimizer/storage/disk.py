"""Room on the disk for the next trial."""

import shutil
from pathlib import Path

from optimizer.errors import StudyStoppedError

GIB = 2**30
MARGIN_BYTES = GIB // 4
"""For the database, the logs and the caches of the first pictures."""
STATE_SHARE = 0.5
"""While it runs, a trial also keeps a state to resume from, and files that it will not keep."""


def refuse_full_disk(folder: Path) -> None:
    """Refuse another trial that may not find room for its files.

    Raises:
        StudyStoppedError: free space is below what the largest trial took and a margin.
    """
    largest = max((_size(trial) for trial in folder.glob("trial_*")), default=0)
    needed = largest * (1 + STATE_SHARE) + MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StudyStoppedError(
            f"{folder}: {free / GIB:.2f} GiB are free, but the next trial may need "
            f"{needed / GIB:.2f} GiB (the largest so far took {largest / GIB:.2f}); nothing was "
            "lost: make room and run again"
        )


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; those that vanish meanwhile are none."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total
