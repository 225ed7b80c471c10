"""Contact sheets: pictures in a grid with headings, and the scores under each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

CELL = 160
"""Side of a picture on the sheet, in pixels; small ones are enlarged without smoothing."""
_LABEL, _HEADING, _GAP, _MARGIN = 18, 24, 8, 16
_INK, _FAINT, _PAPER = (30, 30, 34), (110, 110, 118), (250, 250, 248)


@dataclass(frozen=True)
class Cell:
    """One picture and the line under it."""

    image: Image.Image
    label: str


@dataclass(frozen=True)
class Row:
    """A heading over a line of pictures."""

    heading: str
    cells: tuple[Cell, ...]


def write_sheet(path: Path, title: str, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Draw a contact sheet as PNG.

    Args:
        columns: headings of the columns, if any.
    """
    width = 2 * _MARGIN + max(len(row.cells) for row in rows) * (CELL + _GAP) - _GAP
    row_height = _HEADING + CELL + _LABEL + _GAP
    top = _MARGIN + 2 * _HEADING + (_HEADING if columns else 0)
    sheet = Image.new("RGB", (width, top + len(rows) * row_height + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (_MARGIN, _MARGIN), title, 18, width - 2 * _MARGIN, _INK)
    for column, heading in enumerate(columns):
        x = _MARGIN + column * (CELL + _GAP)
        _write(pen, (x, _MARGIN + 2 * _HEADING - 8), heading, 14, CELL, _INK)
    for number, row in enumerate(rows):
        _draw_row(sheet, pen, row, top + number * row_height)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: Row, y: int) -> None:
    _write(pen, (_MARGIN, y), row.heading, 13, sheet.width - 2 * _MARGIN, _INK)
    for column, cell in enumerate(row.cells):
        x = _MARGIN + column * (CELL + _GAP)
        sheet.paste(_fitted(cell.image), (x, y + _HEADING))
        _write(pen, (x, y + _HEADING + CELL + 2), cell.label, 12, CELL, _FAINT)


def _fitted(image: Image.Image) -> Image.Image:
    smooth = image.width > CELL
    resampling = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return image.convert("RGB").resize((CELL, CELL), resampling)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    width: int,
    ink: tuple[int, int, int],
) -> None:
    """A line of text, shortened to the width it has."""
    font = _font(size)
    shown = text
    while pen.textlength(shown, font=font) > width and len(shown) > 1:
        shown = shown[:-2].rstrip() + "…"
    pen.text(place, shown, font=font, fill=ink)


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
