"""`optimizer dataset check`: a dataset report as tables."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from optimizer.config.base import read_toml
from optimizer.config.dataset import load_dataset_config
from optimizer.config.study import load_study
from optimizer.data.check import BucketRow, DatasetReport, Spread, check
from optimizer.errors import ModelError
from optimizer.models.tokenizers import TokenCounter
from optimizer.report.tables import console, key_values

_SHOWN = 5


@dataclass(frozen=True)
class Checked:
    """What was found, and where tokens were not counted, why."""

    report: DatasetReport
    tokens_not_counted: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self.report) | {"tokens_not_counted": self.tokens_not_counted}


def check_dataset(path: Path) -> Checked:
    """Look at the dataset of a study file, or of a dataset file in either sd-scripts dialect."""
    if path.suffix != ".toml" or "study" not in read_toml(path):
        note = "a dataset file names no base model; give a study file to count tokens"
        return Checked(check(load_dataset_config(path)), note)
    config = load_study(path)
    try:
        counter = TokenCounter(config.model)
    except ModelError as error:
        return Checked(check(config.dataset), f"{error}")
    limit = counter.limit(config.training.max_token_length)
    return Checked(check(config.dataset, counter, limit), None)


def print_dataset(checked: Checked) -> None:
    """For people."""
    report = checked.report
    facts: dict[str, Any] = {
        "pictures": report.pictures,
        "captions": report.captions,
        "regularisation pictures": report.regularisation_pictures,
        "widths": _spread(report.widths),
        "heights": _spread(report.heights),
        "words per caption": _spread(report.caption_words),
        "tokens per caption": _spread(report.caption_tokens),
        "turned upright (EXIF)": len(report.rotated_by_exif),
        "with transparency, put on white": len(report.with_alpha),
        "enlarged for their bucket": len(report.upscaled),
    }
    console.print(key_values("dataset", facts))
    console.print(_buckets(report.buckets))
    tags = ", ".join(f"{tag} ({count})" for tag, count in report.most_common_tags[:10])
    console.print(f"most common tags: {tags}", highlight=False)
    if checked.tokens_not_counted:
        console.print(f"tokens were not counted: {checked.tokens_not_counted}", soft_wrap=True)
    _print_list("captions cut off at max_token_length", report.captions_too_long)
    _print_list("pictures that lose over a fifth to their bucket", report.much_trimmed)
    _print_list("pictures without a caption", report.pictures_without_caption)
    _print_list("captions without a picture", report.captions_without_picture)
    _print_list("nearly the same", [" and ".join(pair) for pair in report.near_duplicates])
    for problem in report.problems:
        console.print(f"[red]problem:[/] {problem}", soft_wrap=True, highlight=False)


def _buckets(rows: tuple[BucketRow, ...]) -> Table:
    table = Table("bucket", "pictures", "with repeats", "trimmed")
    for row in rows:
        size = f"{row.width} x {row.height}"
        trimmed = f"{row.trimmed_share:.1%}"
        table.add_row(size, str(row.pictures), str(row.with_repeats), trimmed)
    return table


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.smallest} to {spread.largest}, median {spread.median:g}"


def _print_list(title: str, items: tuple[str, ...] | list[str]) -> None:
    if not items:
        return
    console.print(f"{title}: {len(items)}")
    for item in items[:_SHOWN]:
        console.print(f"  {item}", soft_wrap=True, highlight=False)
    if len(items) > _SHOWN:
        console.print(f"  and {len(items) - _SHOWN} more")
