"""What is in a dataset: what `optimizer dataset check` tells before any training."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optimizer.config.dataset import DatasetConfig
from optimizer.data.caption_files import CaptionFolders
from optimizer.data.looks import Look, looks_of, near_duplicates
from optimizer.data.records import Record, picture_paths, survey
from optimizer.data.samples import place_record

_MOST_COMMON = 20
"""Tags that are listed."""
_MUCH_TRIMMED = 0.2


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of some numbers."""

    smallest: int
    median: float
    largest: int


@dataclass(frozen=True)
class BucketRow:
    """One bucket of one dataset; trimmed_share is the mean over its pictures."""

    dataset_index: int
    width: int
    height: int
    pictures: int
    with_repeats: int
    trimmed_share: float


@dataclass(frozen=True)
class DatasetReport:
    """Counts and file names; everything converts to JSON.

    problems: sentences that keep training from starting. captions_too_long: pictures whose
    caption is cut off. much_trimmed: pictures that lose over a fifth to their bucket. Pictures
    that several datasets hold count once, except in buckets.
    """

    problems: tuple[str, ...]
    pictures: int
    regularisation_pictures: int
    captions: int
    pictures_without_caption: tuple[str, ...]
    captions_without_picture: tuple[str, ...]
    rotated_by_exif: tuple[str, ...]
    with_alpha: tuple[str, ...]
    widths: Spread | None
    heights: Spread | None
    buckets: tuple[BucketRow, ...]
    upscaled: tuple[str, ...]
    near_duplicates: tuple[tuple[str, str], ...]
    most_common_tags: tuple[tuple[str, int], ...]
    caption_words: Spread | None
    caption_tags: Spread | None
    caption_tokens: Spread | None
    captions_too_long: tuple[str, ...]
    much_trimmed: tuple[str, ...]


def check(
    config: DatasetConfig,
    count_tokens: Callable[[str], int] | None = None,
    max_token_length: int = 75,
) -> DatasetReport:
    """Look at every picture and caption of a dataset; decodes all pictures once.

    count_tokens: tokens of a caption without start and end; without it lengths stay unknown.
    """
    records, problems = survey(config)
    unique = list({record.path: record for record in records}.values())
    files = _files(config)
    looks, damaged = looks_of([record.path for record in unique])
    captions = [(record, line) for record in unique for line in record.captions]
    tokens = [count_tokens(caption) for _, caption in captions] if count_tokens else []
    return DatasetReport(
        problems=tuple(dict.fromkeys((*problems, *damaged))),
        pictures=len(files.train),
        regularisation_pictures=len(files.reg),
        captions=len(files.captions),
        pictures_without_caption=tuple(map(str, files.without_caption)),
        captions_without_picture=tuple(map(str, files.without_picture)),
        rotated_by_exif=_named(looks, lambda look: look.is_rotated),
        with_alpha=_named(looks, lambda look: look.has_alpha),
        widths=_spread([record.size[1] for record in unique]),
        heights=_spread([record.size[0] for record in unique]),
        buckets=_buckets(records),
        upscaled=_paths(record for record in records if _is_upscaled(record)),
        near_duplicates=near_duplicates({look.path: look.difference_hash for look in looks}),
        most_common_tags=tuple(_tags(unique).most_common(_MOST_COMMON)),
        caption_words=_spread([len(caption.split()) for _, caption in captions]),
        caption_tags=_spread([caption.count(",") + 1 for _, caption in captions]),
        caption_tokens=_spread(tokens),
        captions_too_long=_paths(
            record
            for (record, _), count in zip(captions, tokens, strict=False)
            if count > max_token_length
        ),
        much_trimmed=_paths(r for r in records if place_record(r).trimmed_share > _MUCH_TRIMMED),
    )


@dataclass(frozen=True)
class _Files:
    train: set[Path]
    reg: set[Path]
    captions: set[Path]
    without_caption: list[Path]
    without_picture: list[Path]


def _files(config: DatasetConfig) -> _Files:
    """All pictures and captions in the folders of a configuration, usable or not."""
    pictures: dict[bool, set[Path]] = {False: set(), True: set()}
    used: set[Path] = set()
    captions: set[Path] = set()
    bare: list[Path] = []
    for subset in (subset for dataset in config.datasets for subset in dataset.subsets):
        paths, _ = picture_paths(subset.image_dir)
        folders = CaptionFolders(subset)
        found = [folders.find(path) for path in paths]
        pictures[subset.is_reg].update(paths)
        bare += [path for path, caption in zip(paths, found, strict=True) if caption is None]
        used.update(caption for caption in found if caption is not None)
        captions.update(folders.files())
    # Folders side by side share the captions folder, so orphans are known only at the end.
    orphans = sorted(captions - used)
    return _Files(pictures[False], pictures[True], captions, list(dict.fromkeys(bare)), orphans)


def _buckets(records: Sequence[Record]) -> tuple[BucketRow, ...]:
    by_bucket: dict[tuple[int, int, int], list[Record]] = {}
    for record in records:
        key = (record.dataset_index, *place_record(record).bucket)
        by_bucket.setdefault(key, []).append(record)
    return tuple(
        BucketRow(
            *key,
            pictures=len(inside),
            with_repeats=sum(record.subset.num_repeats for record in inside),
            trimmed_share=statistics.fmean(place_record(r).trimmed_share for r in inside),
        )
        for key, inside in sorted(by_bucket.items())
    )


def _paths(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(record.path) for record in records))


def _is_upscaled(record: Record) -> bool:
    return place_record(record).resized[1] > record.size[0]


def _tags(records: Sequence[Record]) -> Counter[str]:
    return Counter(
        tag.strip().lower()
        for record in records
        for line in record.captions
        for tag in line.split(record.subset.caption_separator)
        if tag.strip()
    )


def _named(looks: Sequence[Look], matters: Callable[[Look], bool]) -> tuple[str, ...]:
    return tuple(str(look.path) for look in looks if matters(look))


def _spread(numbers: Sequence[int]) -> Spread | None:
    if not numbers:
        return None
    return Spread(min(numbers), statistics.median(numbers), max(numbers))
