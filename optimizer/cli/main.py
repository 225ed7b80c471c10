"""The `optimizer` command: verbs are read first, torch and optuna only loaded by those that run."""

import sys

import typer

from optimizer import __version__
from optimizer.cli import (
    best,
    compare,
    dashboard,
    dataset,
    demo,
    evaluate,
    export_kohya,
    finals,
    logs,
    pick,
    report,
    rescore,
    run,
    status,
    stop,
    train,
    transfer,
)
from optimizer.errors import InputError, OptimizerError
from optimizer.logs import quiet_libraries

app = typer.Typer(
    name="optimizer",
    help="Search hyperparameters for Stable Diffusion LoRAs: SD1.5 first, carried over to SDXL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    *(run, stop, finals, pick, rescore, transfer, train),
    *(evaluate, compare, best, status, logs, report, dashboard, export_kohya, demo),
):
    app.command(name=verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.command)
app.add_typer(dataset.app, name="dataset")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lora-optimizer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command; bad input ends in one line per problem and exit code 2."""
    quiet_libraries()
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            typer.secho(f"error: {problem}", err=True, fg="red")
        sys.exit(2)
    except OptimizerError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
