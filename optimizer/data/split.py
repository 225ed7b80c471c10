"""Pictures that are set aside and never trained on."""

from collections import Counter
from collections.abc import Sequence, Set
from functools import cache
from pathlib import Path
from random import Random

from optimizer.data.records import Record

Parts = tuple[tuple[Record, ...], tuple[Record, ...]]
"""Records to train on, and records held out."""


def hold_out(records: Sequence[Record], count_or_fraction: int | float, seed: int) -> Parts:
    """Part records into those to train on and those held out.

    An int counts pictures, a float below 1 is a share of them. A picture that several datasets
    hold is held out of all; regularisation pictures are never held out, and every dataset
    keeps a picture to train on. Which ones are taken depends on the seed and on the sorted
    file paths alone.
    """
    return _parted(records, _chosen(records, count_or_fraction, seed))


def hold_out_validation(records: Sequence[Record], seed: int) -> Parts:
    """Hold out the share of each dataset that its validation_split asks for, if any.

    `seed` stands in for a validation_seed that is not given.
    """
    chosen: set[Path] = set()
    for index, dataset in {r.dataset_index: r.dataset for r in records}.items():
        own = [record for record in records if record.dataset_index == index]
        own_seed = seed if dataset.validation_seed is None else dataset.validation_seed
        chosen |= _chosen(own, dataset.validation_split, own_seed)
    return _parted(records, chosen)


def _chosen(records: Sequence[Record], count_or_fraction: int | float, seed: int) -> set[Path]:
    """The first files of a shuffled list whose loss leaves no dataset without pictures."""
    datasets: dict[Path, list[int]] = {}
    for record in records:
        if not record.is_reg:
            datasets.setdefault(_file(record), []).append(record.dataset_index)
    left = Counter(index for indexes in datasets.values() for index in indexes)
    share = not isinstance(count_or_fraction, int)
    wanted = round(count_or_fraction * len(datasets)) if share else count_or_fraction
    chosen: set[Path] = set()
    for file in Random(seed).sample(sorted(datasets), len(datasets)):
        if len(chosen) < wanted and all(left[index] > 1 for index in datasets[file]):
            chosen.add(file)
            left.subtract(datasets[file])
    return chosen


def _parted(records: Sequence[Record], chosen: Set[Path]) -> Parts:
    train = tuple(record for record in records if _file(record) not in chosen)
    held_out = {_file(r): r for r in reversed(records) if _file(r) in chosen}
    return train, tuple(held_out[file] for file in sorted(held_out))


def _file(record: Record) -> Path:
    return _real_folder(record.path.parent) / record.path.name


@cache
def _real_folder(folder: Path) -> Path:
    """The folder without links: one picture under two names is one picture."""
    return folder.resolve()
