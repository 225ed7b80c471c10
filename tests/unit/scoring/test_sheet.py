"""Contact sheets can be read, whatever is put on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from optimizer.scoring import sheet
from optimizer.scoring.sheet import Cell, Row, write_sheet

Paint = Callable[..., Image.Image]


def colors(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        return {color for _, color in image.getcolors(1 << 24) or []}  # type: ignore[misc]


def test_small_pictures_are_enlarged_without_smoothing(tmp_path: Path) -> None:
    checks = Image.fromarray(np.indices((32, 32)).sum(0).astype(np.uint8) % 2 * 255).convert("RGB")
    write_sheet(tmp_path / "a" / "sheet.png", "", [Row("", (Cell(checks, ""),) * 3)])
    with Image.open(tmp_path / "a" / "sheet.png") as image:
        assert image.width == 2 * 16 + 3 * 160 + 2 * 8
    assert colors(tmp_path / "a" / "sheet.png") == {(0, 0, 0), (255, 255, 255), sheet._PAPER}


def test_large_pictures_are_made_smaller(tmp_path: Path, paint: Paint) -> None:
    write_sheet(tmp_path / "s.png", "", [Row("", (Cell(paint("red", (1024, 512)), ""),))])
    with Image.open(tmp_path / "s.png") as image:
        assert image.width == 2 * 16 + 320
        red = np.all(np.asarray(image) == (255, 0, 0), axis=2)
    rows, columns = np.where(red)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (320, 160), "in its own shape"


def test_headings_labels_and_title_are_drawn(tmp_path: Path, paint: Paint) -> None:
    cells = (Cell(paint("red"), "T 0.312"), Cell(paint("blue"), "T 0.298"))

    def drawn(**text: str) -> bytes:
        words = {"title": "", "heading": "", "label": "", "column": ""} | text
        labelled = tuple(Cell(c.image, words["label"]) for c in cells)
        rows, columns = [Row(words["heading"], labelled)], [words["column"]] * 2
        write_sheet(tmp_path / "s.png", words["title"], rows, columns)
        return (tmp_path / "s.png").read_bytes()

    bare = drawn()
    for name in ("title", "heading", "label", "column"):
        assert drawn(**{name: "words"}) != bare


def test_long_prompts_are_wrapped_then_shortened(paint: Paint) -> None:
    width = 300
    lines = sheet._wrapped("a long prompt " * 4, 13, width)
    assert " ".join(lines) == ("a long prompt " * 4).strip()
    assert len(lines) == 2
    assert all(sheet._length(line, 13) <= width for line in lines)
    assert len(sheet._wrapped("a long prompt " * 40, 13, width)) == 2
    assert sheet._wrapped("", 13, width) == [""]


@pytest.mark.parametrize("text", ["é ñ ü", "漢字 かな", "🙂🙃", "a\nb\tc", "x" * 3000, "‏שלום"])
@pytest.mark.parametrize("has_freetype", [True, False])
def test_any_text_can_be_drawn(
    tmp_path: Path, paint: Paint, monkeypatch: pytest.MonkeyPatch, text: str, has_freetype: bool
) -> None:
    if not has_freetype:
        bitmap = ImageFont.load_default_imagefont()

        def without_freetype(size: float | None = None) -> ImageFont.ImageFont:
            if size is not None:
                raise ImportError("The _imagingft C module is not installed")
            return bitmap

        monkeypatch.setattr(ImageFont, "load_default", without_freetype)
    sheet._font.cache_clear()
    rows = [Row(text, (Cell(paint("red"), text),) * 2)]
    write_sheet(tmp_path / "s.png", text, rows, [text, text])
    sheet._font.cache_clear()
    assert (tmp_path / "s.png").stat().st_size > 0


def test_rows_of_different_lengths(tmp_path: Path, paint: Paint) -> None:
    rows = [Row("one", (Cell(paint("red"), ""),)), Row("two", (Cell(paint("blue"), ""),) * 3)]
    write_sheet(tmp_path / "s.png", "title", rows)
    assert {(255, 0, 0), (0, 0, 255)} <= colors(tmp_path / "s.png")
