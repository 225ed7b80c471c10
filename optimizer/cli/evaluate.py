"""`optimizer evaluate`: pictures and scores of LoRA files."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyOption


def command(
    loras: Annotated[list[Path], typer.Argument(metavar="LORA...", help="LoRA files.")],
    study: StudyOption = None,
    output: Annotated[
        Path, typer.Option("--output", help="Folder for pictures and scores.")
    ] = Path("evaluation"),
) -> None:
    """Draw the study's prompts with each LoRA: a contact sheet, scores.json and a table."""
    from optimizer.report.evaluation import evaluate

    evaluate(loras, study, output)
