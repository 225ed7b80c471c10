"""`optimizer pick`: a person's choice of the best checkpoint."""

from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Number of the trial.")
    ] = None,
    checkpoint: Annotated[
        int | None, typer.Option("--checkpoint", min=1, help="Epoch of the checkpoint.")
    ] = None,
    why: Annotated[str, typer.Option("--why", help="What you saw; kept with the pick.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="Take the pick back.")] = False,
) -> None:
    """Overrule the scores: this checkpoint is the study's best, for `best` and the final run."""
    from optimizer.config.study import load_study
    from optimizer.report.pick import pick, unpick

    config = load_study(study)
    if clear:
        unpick(config)
    elif trial is None or checkpoint is None or not why.strip():
        raise typer.BadParameter("give --trial, --checkpoint and --why, or --clear")
    else:
        pick(config, trial, checkpoint, why.strip())
