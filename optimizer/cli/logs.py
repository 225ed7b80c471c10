"""`optimizer logs`: what a study has logged."""

from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")
    ] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; reading stops no run.")
    ] = False,
) -> None:
    """Show the end of a study's log, and what is added to it."""
    from optimizer.config.study import load_study
    from optimizer.report.log_file import last_lines, new_lines

    path = load_study(study).folder / "optimization.log"
    text, end = last_lines(path, lines)
    typer.echo(text, nl=False)
    if follow:
        for added in new_lines(path, end):
            typer.echo(added, nl=False)
