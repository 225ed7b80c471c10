"""`optimizer compare`: LoRAs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyOption


def command(
    a: Annotated[Path, typer.Argument(metavar="A", help="LoRA file, such as the SD1.5 one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="LoRA file, such as the SDXL one.")],
    base: Annotated[
        str | None,
        typer.Argument(metavar="BASE", help="A base model to draw without LoRA, or a third LoRA."),
    ] = None,
    study: StudyOption = None,
    num_samples: Annotated[
        int | None,
        typer.Option("--num-samples", min=1, help="Pictures per LoRA, instead of all prompts'."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", help="Folder for pictures and scores.")
    ] = Path("comparison"),
) -> None:
    """Draw the same prompts and seeds, each at its native size: index.html, PNG and numbers."""
    from optimizer.report.comparison import compare

    compare((a, b), base, study, num_samples, output)
