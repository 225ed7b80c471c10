"""Drawn pictures of a study side by side, small enough to stand inside one page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from optimizer.config.study import StudyConfig
from optimizer.scoring.prompts import PlannedPicture, plan_pictures

BASE_SAMPLES = Path("base") / "samples"
"""The base model's own pictures in a study's folder; named as the samples of a checkpoint are."""
MOST_PICTURES = 240
"""In all columns together; seeds beyond the first are left out to stay below."""
_TINY = 64
"""Sides up to this many pixels would be blurred by the browser that enlarges them."""
_ENLARGED = 4
_QUALITY = 80


@dataclass(frozen=True)
class Column:
    """A folder of pictures, named by their place among `planned`."""

    label: str
    note: str
    folder: Path
    planned: tuple[PlannedPicture, ...]

    def path(self, prompt: str, image: int) -> Path | None:
        """The picture of a prompt, `image` counting its seeds; None if it was not drawn."""
        places = [n for n, one in enumerate(self.planned) if one.prompt == prompt]
        if image >= len(places):
            return None
        path = self.folder / f"{places[image]:03d}.png"
        return path if path.is_file() else None


@dataclass(frozen=True)
class Shown:
    """One picture on the page; `path` is None where there is none."""

    label: str
    note: str
    alt: str
    path: Path | None


@dataclass(frozen=True)
class PromptRow:
    """A prompt and its pictures, all columns of one seed before those of the next."""

    prompt: str
    pictures: tuple[Shown, ...]


def planned_pictures(config: StudyConfig) -> tuple[PlannedPicture, ...]:
    """What every checkpoint of a study draws, in the order of the files.

    Raises:
        ConfigError: the prompts file is gone or damaged.
    """
    return plan_pictures(config.scoring, str(config.path)).subject


def side_by_side(columns: Sequence[Column], planned: Sequence[PlannedPicture]) -> list[PromptRow]:
    """Rows by prompt; a column without any picture of the first prompt still keeps its place."""
    prompts = list(dict.fromkeys(one.prompt for one in planned))
    if not columns or not prompts:
        return []
    drawn = len(planned) // len(prompts)
    seeds = max(1, min(drawn, MOST_PICTURES // (len(prompts) * len(columns))))
    return [
        PromptRow(
            prompt,
            tuple(
                _shown(column, prompt, image, seeds) for image in range(seeds) for column in columns
            ),
        )
        for prompt in prompts
    ]


def _shown(column: Column, prompt: str, image: int, seeds: int) -> Shown:
    which = f", picture {image + 1} of {seeds}" if seeds > 1 else ""
    return Shown(column.label, "", f"{column.label}: {prompt}{which}", column.path(prompt, image))


def data_uri(path: Path, side: int) -> str:
    """A picture of at most `side` pixels as a WebP data URI; tiny ones enlarged, without loss."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    is_tiny = max(image.size) <= _TINY
    if is_tiny:
        image = ImageOps.scale(image, _ENLARGED, Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, lossless=is_tiny)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
