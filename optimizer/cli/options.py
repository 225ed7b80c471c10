"""Arguments and options that several verbs share."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

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


StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
StudyOption = Annotated[
    Path | None,
    typer.Option(
        "--study",
        help="Study whose base model, prompts and judge to use; "
        "found by itself for a LoRA inside a study's folder.",
    ),
]
InitParams = Annotated[
    Path | None,
    typer.Option(
        "--init-params",
        metavar="FILE",
        help="best_params.json of another study, or a transfer.json: becomes the first trials.",
    ),
]
NewStudyFrom = Annotated[
    Path | None,
    typer.Option(
        "--new-study-from",
        metavar="OLD_STUDY.toml",
        help="Begin with the good trials of a study that this one, changed and renamed, replaces.",
    ),
]
NTrials = Annotated[
    int | None,
    typer.Option("--n-trials", min=1, help="Trials that count; instead of the file's number."),
]
Timeout = Annotated[
    datetime | None,
    typer.Option(
        "--timeout",
        parser=_timeout,
        metavar="TIME",
        help="14h, 90m, 1d12h: begin no trial that is not likely to end by then; "
        "instead of the file's stop.timeout.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", parser=_until, metavar="CLOCK", help="07:00: the same by clock."),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience", min=0, help="Instead of the file's stop.patience; 0 never gives up."
    ),
]
