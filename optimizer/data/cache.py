"""Tensors on disk under the digest of what they were made from; shared by trials and studies."""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from optimizer.errors import InputError

_CHECKSUM = "crc32"


def digest(description: Mapping[str, Any]) -> str:
    """Return the sha256 (hex) of a description in canonical JSON: the key of what it describes."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class TensorStore:
    """A folder of safetensors files, safe for many writers and for being killed at any moment.

    Files appear whole (temporary file, fsync, rename) and are checked when read: a damaged one
    counts as missing, and is written anew by whoever misses it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> dict[str, Tensor] | None:
        """Return the tensors under a key, or None where they are missing or damaged.

        Raises:
            InputError: the file is there and may not be read.
        """
        try:
            data = self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"{self.root}: cache cannot be read: {error.strerror}") from None
        return _checked(data)

    def holds(self, key: str) -> bool:
        """Whether something under a key can be read; `get` alone tells whether it is whole."""
        return os.access(self._path(key), os.R_OK)

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Store tensors under a key, in place of what was there.

        Raises:
            InputError: the folder cannot be written, for want of permission or of space.
        """
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, _encoded(tensors))
        except OSError as error:
            raise InputError(
                f"{self.root}: cache cannot be written: {error.strerror}; free space or choose "
                "another cache folder"
            ) from None

    def _path(self, key: str) -> Path:
        # Two letters of the key: no folder grows to a hundred thousand files.
        return self.root / key[:2] / f"{key}.safetensors"


def _encoded(tensors: Mapping[str, Tensor]) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    bare = save(tensors)
    return save(tensors, {_CHECKSUM: str(zlib.crc32(_payload(bare)))})


def _checked(data: bytes) -> dict[str, Tensor] | None:
    """The tensors of a file, None unless it is exactly what was written."""
    try:
        metadata = json.loads(data[8 : len(data) - len(_payload(data))])["__metadata__"]
        if metadata[_CHECKSUM] != str(zlib.crc32(_payload(data))):
            return None
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def _payload(data: bytes) -> bytes:
    """What follows a safetensors file's header: eight bytes of length, then JSON."""
    return data[8 + int.from_bytes(data[:8], "little") :]


def _write_whole(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
