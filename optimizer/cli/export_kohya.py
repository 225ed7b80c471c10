"""`optimizer export-kohya`: the same training for people who train with sd-scripts."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    params: Annotated[
        Path, typer.Argument(metavar="PARAMS.json", help="best_params.json or params.json.")
    ],
    study: StudyFile,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to write; the study's own folder if not given."),
    ] = None,
) -> None:
    """Write the equivalent sd-scripts files and print the command that runs them."""
    from optimizer.config.study import load_study
    from optimizer.report.kohya_files import write_kohya_files

    write_kohya_files(load_study(study), params, output)
