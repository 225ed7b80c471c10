"""Reading a log that is being written."""

import time
from collections.abc import Iterator
from pathlib import Path

from optimizer.errors import StudyError

_POLL_SECONDS = 0.5
_BYTES_PER_LINE = 400
"""More than a line has, tracebacks aside: how far from the end to begin reading."""


def last_lines(path: Path, count: int) -> tuple[str, int]:
    """The last lines of a log, and where in the file they end, in bytes.

    Raises:
        StudyError: there is no log yet.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - count * _BYTES_PER_LINE, 0))
            data = file.read()
    except FileNotFoundError:
        raise StudyError(f"{path}: no log there yet; start the study with optimizer run") from None
    lines = data.decode(errors="replace").splitlines(keepends=True)
    return "".join(lines[-count:] if count else []), size


def new_lines(path: Path, start: int) -> Iterator[str]:
    """What is added after `start` bytes, for ever; ends quietly on Ctrl-C."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            while True:
                if data := file.read():
                    yield data.decode(errors="replace")
                else:
                    time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return
