"""What pictures look like, as far as a dataset check asks: damaged, rotated, alike."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from optimizer.data.pictures import read_header, read_upright
from optimizer.data.pixels import on_white
from optimizer.errors import DatasetError

_DECODERS = 4
"""Threads; Pillow decodes outside Python's lock."""
_HASH_SIDE = 8
_BANDS = 4
_HASH_BYTES = 2 * _HASH_SIDE * _HASH_SIDE // 8
_MOST_BITS_APART = _BANDS - 1
"""With fewer differing bits than bands one band is equal: no need to compare all pairs."""


@dataclass(frozen=True, slots=True)
class Look:
    """A decoded picture. difference_hash: 128 bits, whether each spot of an 8 x 8 grid is
    darker than the one to its right, then than the one below it.
    """

    path: Path
    is_rotated: bool
    has_alpha: bool
    difference_hash: int


def looks_of(paths: Sequence[Path]) -> tuple[list[Look], list[str]]:
    """Decode pictures; return their looks, and a sentence for each that cannot be decoded."""
    with ThreadPoolExecutor(_DECODERS) as pool:
        looks = list(pool.map(_look, paths))
    good = [look for look in looks if isinstance(look, Look)]
    return good, [problem for problem in looks if isinstance(problem, str)]


def near_duplicates(hashes: Mapping[Path, int]) -> tuple[tuple[str, str], ...]:
    """Return pictures with one before them whose difference hash nearly equals theirs, sorted.

    A picture comes second in one pair at most: all pairs of thousands of frames of one scene
    would fill the memory.
    """
    if not hashes:
        return ()
    paths = list(hashes)
    words = b"".join(hashes[path].to_bytes(_HASH_BYTES) for path in paths)
    bands = np.frombuffer(words, f"u{_HASH_BYTES // _BANDS}").reshape(-1, _BANDS)
    halves = np.frombuffer(words, np.uint64).reshape(-1, 2).T.copy()
    # Of pictures with the same hash only the first need be compared with others.
    _, heads, same = np.unique(halves, axis=1, return_index=True, return_inverse=True)
    first = heads[same.ravel()]  # NumPy 2.0 gives it two dimensions
    for band in range(_BANDS):
        for group in _equal(bands[:, band], np.sort(heads)):
            _lower_to_near(first, group, halves[:, group])
    found = ((paths[one], paths[index]) for index, one in enumerate(first) if one < index)
    return tuple(sorted((str(one), str(other)) for one, other in found))


def _equal(values: NDArray[Any], places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Those places, rising, whose values occur several times, a group per value."""
    order = places[np.argsort(values[places], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
    return [group for group in groups if len(group) > 1]


def _lower_to_near(
    first: NDArray[np.intp], group: NDArray[np.intp], halves: NDArray[np.uint64]
) -> None:
    """Lower `first` of each in a group to the first in it whose hash (in `halves`) is near."""
    for place, index in enumerate(group[:-1]):
        high, low = halves[:, place + 1 :] ^ halves[:, place, None]
        near = np.bitwise_count(high) + np.bitwise_count(low) <= _MOST_BITS_APART
        later = group[place + 1 :][near]
        first[later] = np.minimum(first[later], index)


def _look(path: Path) -> Look | str:
    try:
        header = read_header(path)
        image, _ = on_white(read_upright(path))
    except DatasetError as error:
        return str(error)
    side = _HASH_SIDE + 1
    grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX))
    darker = np.stack([grey[:-1, :-1] < grey[:-1, 1:], grey[:-1, :-1] < grey[1:, :-1]])
    bits = np.packbits(darker)
    return Look(path, header.orientation > 1, header.has_alpha, int.from_bytes(bits.tobytes()))
