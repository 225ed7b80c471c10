"""What pictures look like, as far as a dataset check asks: damaged, rotated, alike."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from optimizer.data.pictures import read_header, read_upright
from optimizer.data.pixels import on_white
from optimizer.errors import DatasetError

_DECODERS = 4
"""Threads; Pillow decodes outside Python's lock."""
_HASH_SIDE = 8
_BANDS = 4
_BAND_BITS = 2 * _HASH_SIDE * _HASH_SIDE // _BANDS
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
    """Return pairs of pictures whose difference hashes are nearly equal, sorted."""
    pairs: set[tuple[str, str]] = set()
    for band in range(_BANDS):
        alike: dict[int, list[Path]] = {}
        for path, value in hashes.items():
            alike.setdefault(value >> band * _BAND_BITS & (1 << _BAND_BITS) - 1, []).append(path)
        for group in alike.values():
            pairs.update(_near_pairs(group, hashes))
    return tuple(sorted(pairs))


def _near_pairs(paths: Sequence[Path], hashes: Mapping[Path, int]) -> list[tuple[str, str]]:
    return [
        (str(first), str(second))
        for index, first in enumerate(paths)
        for second in paths[index + 1 :]
        if (hashes[first] ^ hashes[second]).bit_count() <= _MOST_BITS_APART
    ]


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
