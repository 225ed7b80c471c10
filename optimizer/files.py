"""Files that appear whole or not at all: a reader sees the old one or the new one."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from optimizer.errors import DiskFullError

_NEW_FILE_MODE = 0o644
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: temporary file, fsync, rename.

    Raises:
        DiskFullError: it does not fit; what was there before is still whole.
    """
    with disk_full_is_said(path.parent):
        _write_whole(path, data)


@contextmanager
def disk_full_is_said(folder: Path) -> Iterator[None]:
    """Turn the system's ways of saying that a disk is full into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"{folder}: the disk is full ({error.strerror}); free some space and run it again, it "
            "goes on from its last checkpoint"
        ) from error


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            # A temporary file is private; the result is as readable as any new file.
            Path(file.name).chmod(_NEW_FILE_MODE)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON atomically, indented as people would read it."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    write_bytes(path, f"{text}\n".encode())


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
