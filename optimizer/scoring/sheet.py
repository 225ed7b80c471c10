"""Contact sheets: pictures in a grid with headings, and the scores under each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from optimizer.files import write_bytes

SMALLEST_CELL, LARGEST_CELL = 160, 320
"""Sides of a picture on the sheet, in pixels; small ones are enlarged without smoothing."""
_LINE = {12: 16, 13: 18, 14: 20, 18: 26}
"""Height of a line by size of its letters."""
_HEADING_LINES = 2
_GAP, _MARGIN = 8, 16
_INK, _FAINT, _PAPER = (30, 30, 34), (110, 110, 118), (250, 250, 248)


@dataclass(frozen=True)
class Cell:
    """One picture and the line under it."""

    image: Image.Image
    label: str


@dataclass(frozen=True)
class Row:
    """A heading, such as a prompt, over a line of pictures."""

    heading: str
    cells: tuple[Cell, ...]


def write_sheet(path: Path, title: str, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Draw a contact sheet as PNG.

    Args:
        rows: at least one, with at least one picture.
        columns: headings of the columns, if any.
    """
    side = _cell_side(rows)
    width = 2 * _MARGIN + max(len(row.cells) for row in rows) * (side + _GAP) - _GAP
    lines = [_wrapped(row.heading, 13, width - 2 * _MARGIN) for row in rows]
    heights = [len(text) * _LINE[13] + side + _LINE[12] + 2 * _GAP for text in lines]
    top = _MARGIN + _LINE[18] + _GAP + (_LINE[14] if columns else 0)
    sheet = Image.new("RGB", (width, top + sum(heights) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (_MARGIN, _MARGIN), title, 18, width - 2 * _MARGIN, _INK)
    for column, heading in enumerate(columns):
        place = (_MARGIN + column * (side + _GAP), top - _LINE[14] - 2)
        _write(pen, place, heading, 14, side, _INK)
    for row, text, height in zip(rows, lines, heights, strict=True):
        _draw_row(sheet, row, text, top, side)
        top += height
    _save(sheet, path)


def _cell_side(rows: Sequence[Row]) -> int:
    """All pictures at one size: that of the largest, within limits."""
    longest = max(max(cell.image.size) for row in rows for cell in row.cells)
    return min(max(longest, SMALLEST_CELL), LARGEST_CELL)


def _draw_row(sheet: Image.Image, row: Row, heading: Sequence[str], y: int, side: int) -> None:
    pen = ImageDraw.Draw(sheet)
    for line in heading:
        _write(pen, (_MARGIN, y), line, 13, sheet.width - 2 * _MARGIN, _INK)
        y += _LINE[13]
    for column, cell in enumerate(row.cells):
        x = _MARGIN + column * (side + _GAP)
        image = _fitted(cell.image, side)
        sheet.paste(image, (x + (side - image.width) // 2, y + (side - image.height) // 2))
        _write(pen, (x, y + side + 1), cell.label, 12, side, _FAINT)


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """Within a square, in its own shape."""
    smooth = max(image.size) > side
    resampling = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return ImageOps.contain(image.convert("RGB"), (side, side), resampling)


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Lines that fit; what does not fit stays in the last one, which is shortened when drawn."""
    words, lines = text.split(), [""]
    for place, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if _length(longer, size) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) < _HEADING_LINES:
            lines.append(word)
        else:
            lines[-1] = " ".join([lines[-1], *words[place:]])
            break
    return lines


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    width: int,
    ink: tuple[int, int, int],
) -> None:
    """A line of text, shortened to the width it has."""
    font, shown = _font(size), _drawable(text, size)
    while _length(shown, size) > width and len(shown) > 4:
        shown = shown[: -max(4, len(shown) // 16)].rstrip() + "..."
    pen.text(place, shown, font=font, fill=ink)


def _length(text: str, size: int) -> float:
    return float(_font(size).getlength(_drawable(text, size)))


def _drawable(text: str, size: int) -> str:
    """Pillow's bitmap letters, used where it has no FreeType, end at Latin 1."""
    line = " ".join(text.split())
    if isinstance(_font(size), ImageFont.FreeTypeFont):
        return line
    return line.encode("latin-1", "replace").decode("latin-1")


@cache
def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except ImportError:  # Pillow without FreeType
        return ImageFont.load_default()


def _save(sheet: Image.Image, path: Path) -> None:
    buffer = BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())
