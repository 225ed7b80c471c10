"""`optimizer run`: run what is left of a study."""

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
    gpus: Annotated[
        str | None,
        typer.Option(
            "--gpus",
            metavar="0,1",
            help="A worker on each of these cards: numbers as nvidia-smi shows them, UUIDs, or "
            "all. One worker on the first card if not given; cpu,cpu for two without a card.",
        ),
    ] = None,
) -> None:
    """Run a study: train, draw and score trials until enough count, or a rule says stop.

    Typed again, it goes on where it stopped. Ctrl-C ends it in order; the trial that was running
    is done again next time. A worker that dies is replaced. At the end the best checkpoints are
    scored again on fresh seeds.
    """
    from optimizer.config.study import load_study
    from optimizer.report.beginning import Beginning
    from optimizer.report.run_view import Wanted, run_supervised

    deadline = min(filter(None, (timeout, until)), default=None)
    code = run_supervised(
        load_study(study),
        Wanted(Beginning(init_params, new_study_from), n_trials, deadline, patience, gpus),
    )
    if code:
        raise typer.Exit(code)
