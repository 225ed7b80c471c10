"""`optimizer run`: run what is left of a study."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile
from optimizer.config.duration import next_moment, parse_duration


def _timeout(text: str) -> datetime:
    try:
        return datetime.now().astimezone() + parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, found {text!r}") from error


def _until(text: str) -> datetime:
    try:
        return next_moment(text, datetime.now().astimezone())
    except ValueError as error:
        raise typer.BadParameter(f"{error}, found {text!r}") from error


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
    timeout: Annotated[
        datetime | None,
        typer.Option(
            "--timeout",
            parser=_timeout,
            metavar="TIME",
            help="14h, 90m, 1d12h: begin no trial that is not likely to end by then; "
            "instead of the file's stop.timeout.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", parser=_until, metavar="CLOCK", help="07:00: the same by clock."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience", min=0, help="Instead of the file's stop.patience; 0 never gives up."
        ),
    ] = None,
) -> None:
    """Run a study: train, draw and score trials until enough count, or a rule says stop.

    Typed again, it goes on where it stopped. Ctrl-C ends it in order; the trial that was running
    is done again next time. At the end the best checkpoints are scored again on fresh seeds.
    """
    from optimizer.config.study import load_study
    from optimizer.report.finals import run_finals
    from optimizer.report.run_view import run_with_view

    config = load_study(study)
    if patience is not None:
        config = config.with_patience(patience)
    deadline = min(filter(None, (timeout, until)), default=None)
    if run_with_view(config, init_params, n_trials, deadline).interrupted:
        raise typer.Exit(130)
    if config.scoring.finals.top:
        run_finals(config)
