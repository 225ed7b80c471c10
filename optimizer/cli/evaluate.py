"""`optimizer evaluate`: pictures and scores of LoRA files."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer.cli.options import StudyOption


def command(
    loras: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", help="LoRA files, or folders of them."),
    ],
    study: StudyOption = None,
    base_model: Annotated[
        str | None,
        typer.Option("--base-model", help="Folder, file or hub id, instead of the study's."),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option("--num-samples", min=1, help="Pictures per LoRA, instead of all prompts'."),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", min=1, help="Side in pixels, instead of the study's."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; the best by default.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "--output-dir", help="Folder for pictures and scores.")
    ] = Path("evaluation"),
) -> None:
    """Draw the study's prompts with each LoRA: contact sheets, scores.json, and which is best."""
    from optimizer.report.evaluation import evaluate
    from optimizer.report.judged import Wishes

    evaluate(loras, study, output, Wishes(base_model, num_samples, resolution), device)
