"""`optimizer report`: one page about a study that opens from disk, or Markdown for a repository."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from optimizer.config.study import StudyConfig
from optimizer.files import write_bytes
from optimizer.report import charts
from optimizer.report.page_facts import page_facts
from optimizer.report.pictures import PromptRow, data_uri
from optimizer.report.templating import environment
from optimizer.scoring.sheet import Cell, Row, write_sheet

MOST_BYTES = 10_000_000
_SIDES = (384, 256, 160, 96)
"""Sides of the inlined pictures to try, in pixels, until the page is below MOST_BYTES."""

_SHEET = 4
"""Times the side of a picture, for sheets of many."""


def write_page(config: StudyConfig, output: Path | None) -> Path:
    """Write the report as one self-contained HTML file; returns its path.

    Raises:
        StudyError: there is no such study yet.
        ConfigError: the study's prompts file is gone.
    """
    page = page_facts(config)
    path = output or config.folder / "report" / "index.html"
    template = environment(autoescape=True).get_template("report.html.j2")
    for side in _SIDES:
        inlined = {
            "picture": partial(data_uri, side=side),
            "sheet": partial(data_uri, side=side * _SHEET),
        }
        text = template.render(page=page, **inlined, **_helpers())
        data = text.encode()
        if len(data) < MOST_BYTES:
            break
    write_bytes(path, data)
    return path


def write_markdown(config: StudyConfig, output: Path | None) -> Path:
    """Write the report as Markdown, its pictures and charts as files beside it; returns its path.

    Raises: as `write_page`.
    """
    page = page_facts(config)
    path = output or config.folder / "report" / "README.md"
    templates = environment()
    files = f"{path.stem}_files"
    chart = templates.from_string(
        '{% from "chart.svg.j2" import draw %}{{ draw(chart, key, standalone=true) }}\n'
    )
    for key, drawn in page.charts.items():
        svg = chart.render(chart=_escaped(drawn), key=key)
        write_bytes(path.parent / files / f"{key}.svg", svg.encode())
    if page.pictures:
        _write_sheet(path.parent / files / "pictures.png", config.name, page.pictures)
    if page.final and page.final.sheet:
        write_bytes(path.parent / files / "final.png", page.final.sheet.read_bytes())
    text = templates.get_template("report.md.j2").render(page=page, files=files, **_helpers())
    write_bytes(path, text.encode())
    return path


def _write_sheet(path: Path, title: str, rows: Iterable[PromptRow]) -> None:
    sheet = []
    for row in rows:
        shown = [(one.label, one.path) for one in row.pictures if one.path is not None]
        cells = []
        for label, picture in shown:
            with Image.open(picture) as image:
                cells.append(Cell(image.convert("RGB"), label))
        if cells:
            sheet.append(Row(row.prompt, tuple(cells)))
    if sheet:
        write_sheet(path, title, sheet)


def _helpers() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"written": now}


def _escaped(chart: charts.Chart) -> dict[str, Any]:
    """A chart for a template that does not escape: words of the user as SVG needs them."""
    from markupsafe import escape

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item) for item in value]
        return str(escape(value)) if isinstance(value, str) else value

    plain: dict[str, Any] = walk(asdict(chart))
    return plain
