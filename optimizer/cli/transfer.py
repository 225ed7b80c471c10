"""`optimizer transfer`: carry best settings over to another model family."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Family(Enum):
    """Choices of --to."""

    SD15 = "sd15"
    SDXL = "sdxl"


def command(
    best_params: Annotated[
        Path, typer.Argument(metavar="BEST_PARAMS.json", help="Best settings of a finished study.")
    ],
    to: Annotated[Family, typer.Option("--to", help="Family to carry them to.")],
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
    from optimizer.study.best_params import read_best_params
    from optimizer.study.transfer import transfer

    values, provenance = read_best_params(best_params)
    carried = transfer(values, to.value, provenance)
    print_transfer(carried)
    path = output or best_params.with_name("transfer.json")
    write_json(path, carried.as_dict())
    typer.echo(f"wrote {path}; use it with: optimizer run STUDY.toml --init-params {path}")
