"""`optimizer dashboard`: optuna-dashboard on a study."""

from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8080,
) -> None:
    """Serve optuna-dashboard for a study on this machine only: it has no login."""
    from optimizer.config.study import load_study
    from optimizer.report.dashboard import serve

    serve(load_study(study), port)
