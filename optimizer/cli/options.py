"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
StudyOption = Annotated[
    Path | None,
    typer.Option(
        "--study",
        help="Study whose base model, prompts and judge to use; "
        "found by itself for a LoRA inside a study's folder.",
    ),
]
