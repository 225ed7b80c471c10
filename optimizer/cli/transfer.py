"""`optimizer transfer`: carry best settings over to another model family."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Family(Enum):
    """Choices of --to."""

    SD15 = "sd15"
    SDXL = "sdxl"


class PlanName(Enum):
    """Choices of --plan."""

    LADDER = "ladder"
    GUIDE = "guide"


def command(
    to: Annotated[Family, typer.Option("--to", help="Family to carry them to.")],
    best_params: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BEST_PARAMS.json]", help="Best settings of a study; or give --from-study."
        ),
    ] = None,
    from_study: Annotated[
        str | None,
        typer.Option(
            "--from-study",
            metavar="URL",
            help="Database of any Optuna study: sqlite:///FILE, postgresql://..., env:VARIABLE.",
        ),
    ] = None,
    study_name: Annotated[
        str | None, typer.Option("--study-name", metavar="NAME", help="Which study in it.")
    ] = None,
    top: Annotated[
        int,
        typer.Option("--top", min=1, help="Good and diverse trials of --from-study to begin with."),
    ] = 3,
    plan: Annotated[
        PlanName,
        typer.Option("--plan", help="ladder: three learning rates; guide: the rate kept."),
    ] = PlanName.LADDER,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Where to write; transfer.json beside the input if not given."
        ),
    ] = None,
) -> None:
    """Show what is kept, rescaled, searched and dropped, and write the first trials as a file."""
    from optimizer.files import write_json
    from optimizer.report.tables import print_transfer
    from optimizer.study.carry import from_file, from_trials
    from optimizer.study.source import read_study

    if (best_params is None) == (from_study is None):
        raise typer.BadParameter("give either BEST_PARAMS.json or --from-study URL")
    if best_params is not None:
        carried = from_file(best_params, to.value, plan.value)
    else:
        assert from_study is not None
        carried = from_trials(read_study(from_study, study_name), to.value, plan.value, top)
    print_transfer(carried)
    path = output or (best_params or Path("transfer.json")).with_name("transfer.json")
    write_json(path, carried.as_dict())
    typer.echo(f"wrote {path}; use it with: optimizer run STUDY.toml --init-params {path}")
