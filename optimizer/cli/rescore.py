"""`optimizer rescore`: a study's trials under another preset."""

from typing import Annotated

import typer

from optimizer.cli.options import StudyFile
from optimizer.config.scoring import Preset


def command(
    study: StudyFile,
    preset: Annotated[Preset, typer.Option("--preset", help="What the objective stresses.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Of the new study; NAME_PRESET when not given.")
    ] = None,
) -> None:
    """Compute all trials anew from their stored metrics, as a new study; no picture is drawn."""
    from optimizer.config.study import load_study
    from optimizer.report.rescore import rescore_with_view

    rescore_with_view(load_study(study), preset, name)
