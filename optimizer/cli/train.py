"""`optimizer train`: the final run with the best settings."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    params: Annotated[
        Path, typer.Option("--params", metavar="FILE", help="best_params.json or params.json.")
    ],
) -> None:
    """Train the final LoRA of a study and score every checkpoint of it."""
    from optimizer.config.study import load_study
    from optimizer.report.final_view import train_final

    train_final(load_study(study), params)
