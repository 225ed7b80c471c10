"""`optimizer worker`: one more process that works on a study."""

from datetime import datetime
from typing import Annotated

import typer

from optimizer.cli.options import (
    InitParams,
    NewStudyFrom,
    NTrials,
    Patience,
    StudyFile,
    Timeout,
    Until,
)


def command(
    study: StudyFile,
    init_params: InitParams = None,
    new_study_from: NewStudyFrom = None,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    until: Until = None,
    patience: Patience = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", hidden=True, help="Seconds since the epoch.")
    ] = None,
) -> None:
    """Work on a study beside other workers, on any host that reaches its database and folder.

    `optimizer run` starts its workers itself; this one joins them. It ends with code 75 when a
    fresh process should take its place.
    """
    from optimizer.config.study import load_study
    from optimizer.processes import INTERRUPTED, WORN_OUT
    from optimizer.report.beginning import Beginning
    from optimizer.report.worker_view import run_worker

    config = load_study(study)
    if patience is not None:
        config = config.with_patience(patience)
    given = datetime.fromtimestamp(deadline).astimezone() if deadline else None
    ends = min(filter(None, (timeout, until, given)), default=None)
    result = run_worker(config, Beginning(init_params, new_study_from), n_trials, ends)
    if result.interrupted or result.worn_out:
        raise typer.Exit(INTERRUPTED if result.interrupted else WORN_OUT)
