"""`optimizer dataset check`: what is in a dataset, and what is wrong with it."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at a dataset before training on it.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group even while it has one verb."""


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="Study file or sd-scripts dataset_config TOML.")],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Count pictures and captions, show the buckets, name every problem."""
    from optimizer.report.dataset import check_dataset, print_dataset

    checked = check_dataset(path)
    if as_json:
        typer.echo(json.dumps(checked.as_dict(), indent=2, default=str))
    else:
        print_dataset(checked)
