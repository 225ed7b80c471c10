"""`optimizer demo`: lay out the offline demo."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to lay it out.")] = Path(),
) -> None:
    """Write the demo's tiny models, drawn pictures, prompts and study files into a folder."""
    from optimizer.demo.layout import lay_out

    for line in lay_out(folder):
        typer.echo(line)
