"""`optimizer report`: a page about a study."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Where to write; the study's report/ if not given."),
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="Markdown with pictures beside it, not one HTML page."),
    ] = False,
) -> None:
    """Write what was searched and found, with pictures, as one page that opens from disk."""
    from optimizer.config.study import load_study
    from optimizer.report.page import write_markdown, write_page

    write = write_markdown if markdown else write_page
    typer.echo(f"report: {write(load_study(study), output)}")
