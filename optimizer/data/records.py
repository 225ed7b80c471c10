"""The pictures and captions of a dataset, found and checked without decoding pixels."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from optimizer.config.dataset import Dataset, DatasetConfig, Subset
from optimizer.data.caption_files import CaptionFolders
from optimizer.data.pictures import PICTURE_EXTENSIONS, read_header
from optimizer.errors import DatasetError

T = TypeVar("T")

_READERS = 8
"""Threads that read headers; a slow disk answers several at once."""
_SHOWN = 20
"""Problems of one folder that are told one by one."""


@dataclass(frozen=True, slots=True)
class Record:
    """One picture with its captions and settings; no pixels.

    size is (height, width) once upright. captions holds one line, or all of them with
    enable_wildcard. dataset_index counts the datasets of the configuration.
    """

    path: Path
    size: tuple[int, int]
    captions: tuple[str, ...]
    subset: Subset
    dataset: Dataset
    dataset_index: int

    @property
    def is_reg(self) -> bool:
        """Whether it is a regularisation picture."""
        return self.subset.is_reg


def scan(config: DatasetConfig) -> tuple[Record, ...]:
    """Return a record per picture and subset, in order of dataset, subset and file name.

    Raises:
        DatasetError: with all problems of all folders, each naming its file.
    """
    records, problems = survey(config)
    if problems:
        raise DatasetError(problems)
    return records


def survey(config: DatasetConfig) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Return the records that can be used, and what is wrong with the rest."""
    records: list[Record] = []
    problems: list[str] = []
    for index, dataset in enumerate(config.datasets):
        for subset in dataset.subsets:
            found, wrong = _scan_subset(subset, dataset, index)
            records += found
            problems += wrong
        if not problems and not any(r.dataset_index == index and not r.is_reg for r in records):
            problems.append(f"datasets[{index}] has no picture to train on")
    # Several datasets may hold the same folder, at other resolutions.
    return tuple(records), tuple(dict.fromkeys(problems))


def picture_paths(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures directly inside a folder, sorted, and what is wrong with others."""
    paths: list[Path] = []
    problems: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if Path(entry.name).suffix.lower() in PICTURE_EXTENSIONS:
                    problem = _link_problem(entry)
                    problems += [problem] if problem else []
                    paths += [] if problem else [Path(entry.path)]
    except OSError as error:
        problems.append(f"{folder}: cannot be listed ({error.strerror})")
    return paths, problems


def _link_problem(entry: os.DirEntry[str]) -> str | None:
    try:
        entry.stat()
    except OSError as error:
        return f"{entry.path}: is a link that leads nowhere ({error.strerror})"
    return None if entry.is_file() else f"{entry.path}: is a folder with the name of a picture"


def _scan_subset(subset: Subset, dataset: Dataset, index: int) -> tuple[list[Record], list[str]]:
    paths, problems = picture_paths(subset.image_dir)
    if not paths and not problems:
        problems.append(_no_pictures(subset.image_dir))
    problems += _same_stems(paths)
    folders = CaptionFolders(subset)

    def read(path: Path) -> tuple[Record | None, list[str]]:
        wrong: list[str] = []
        header = _collected(wrong, read_header, path)
        captions = _collected(wrong, folders.captions_of, path)
        if header is None or captions is None:
            return None, wrong
        size = (header.height, header.width)
        return Record(path, size, captions, subset, dataset, index), wrong

    with ThreadPoolExecutor(_READERS) as pool:
        read_ones = list(pool.map(read, paths))
    told = [problem for _, wrong in read_ones for problem in wrong]
    return [record for record, _ in read_ones if record], problems + _shortened(told, subset)


def _collected(problems: list[str], read: Callable[[Path], T], path: Path) -> T | None:
    try:
        return read(path)
    except DatasetError as error:
        problems += error.problems
        return None


def _shortened(problems: list[str], subset: Subset) -> list[str]:
    """A hundred thousand sentences of one kind help nobody."""
    more = len(problems) - _SHOWN
    if more <= 0:
        return problems
    return [*problems[:_SHOWN], f"{subset.image_dir}: and {more} more problems like these"]


def _same_stems(paths: list[Path]) -> list[str]:
    by_stem: dict[str, list[Path]] = {}
    for path in paths:
        by_stem.setdefault(path.stem, []).append(path)
    return [
        f"{' and '.join(map(str, same))}: share one caption; rename or remove one"
        for same in by_stem.values()
        if len(same) > 1
    ]


def _no_pictures(folder: Path) -> str:
    deeper = (f for f in sorted(folder.iterdir()) if f.is_dir() and picture_paths(f)[0])
    inner = next(deeper, None)
    hint = f"; there are some in {inner}, set image_dir to that" if inner else ""
    return f"{folder}: holds no pictures{hint}"
