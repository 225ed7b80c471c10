"""What pictures and datasets are known by: digests of their content."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from optimizer.data.records import Record
from optimizer.errors import DatasetError


def picture_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes; read again only when the file has changed."""
    try:
        status = path.stat()
        return _digest_of_version(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None


@cache
def _digest_of_version(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def records_digest(parts: Mapping[str, Sequence[Record]]) -> str:
    """Return the sha256 over pictures, captions and their settings by part, its first 16 digits."""
    everything = [record for records in parts.values() for record in records]
    # A dataset's text names all its folders; thousands of records share it.
    told = _texts(record.subset for record in everything)
    told |= _texts(record.dataset for record in everything)
    facts = (
        f"{part} {picture_digest(r.path)} {r.captions} {told[id(r.subset)]} {told[id(r.dataset)]}"
        for part, records in parts.items()
        for r in records
    )
    # Fact by fact: together they may be longer than the pictures.
    whole = hashlib.sha256()
    for place, fact in enumerate(facts):
        whole.update(f"\n{fact}".encode() if place else fact.encode())
    return whole.hexdigest()[:16]


def _texts(things: Iterable[object]) -> dict[int, str]:
    """The text of each thing, by its id."""
    unique = {id(thing): thing for thing in things}
    return {identity: str(thing) for identity, thing in unique.items()}
