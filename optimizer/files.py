"""Files that appear whole or not at all: a reader sees the old one or the new one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: temporary file, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON atomically, indented as people would read it."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    write_bytes(path, f"{text}\n".encode())
