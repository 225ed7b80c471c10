"""`optimizer compare`: two LoRAs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyOption


def command(
    a: Annotated[Path, typer.Argument(metavar="A", help="LoRA file, such as the SD1.5 one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="LoRA file, such as the SDXL one.")],
    study: StudyOption = None,
    output: Annotated[
        Path, typer.Option("--output", help="Folder for pictures and scores.")
    ] = Path("comparison"),
) -> None:
    """Draw the same prompts and seeds with two LoRAs, each at its native size, and compare."""
    from optimizer.report.evaluation import compare

    compare(a, b, study, output)
