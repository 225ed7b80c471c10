"""`optimizer stop`: end a running study after its current trial."""

import typer

from optimizer.cli.options import StudyFile


def command(study: StudyFile) -> None:
    """End a running study after its current trial; nothing is lost.

    Works from any machine that shares the study's folder. `optimizer run` goes on.
    """
    from optimizer.config.study import load_study
    from optimizer.study.stopping import ask_to_stop

    typer.echo(ask_to_stop(load_study(study)))
