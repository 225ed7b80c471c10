"""`optimizer run`: run what is left of a study."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    init_params: Annotated[
        Path | None,
        typer.Option(
            "--init-params",
            metavar="FILE",
            help="best_params.json of another study, or a transfer.json: becomes the first trials.",
        ),
    ] = None,
    n_trials: Annotated[
        int | None,
        typer.Option("--n-trials", min=1, help="Trials that count; instead of the file's number."),
    ] = None,
) -> None:
    """Run a study: train, draw and score trials until enough count.

    Typed again, it goes on where it stopped. Ctrl-C ends it in order; the trial that was running
    is done again next time.
    """
    from optimizer.config.study import load_study
    from optimizer.report.run_view import run_with_view

    if run_with_view(load_study(study), init_params, n_trials).interrupted:
        raise typer.Exit(130)
