"""The `optimizer` command: verbs are read first, torch and optuna only loaded by those that run."""

import sys
import traceback

import typer

from optimizer import __version__
from optimizer.cli import (
    best,
    compare,
    dashboard,
    dataset,
    demo,
    doctor,
    evaluate,
    export_kohya,
    finals,
    logs,
    pick,
    plan,
    proxy,
    report,
    rescore,
    run,
    status,
    stop,
    train,
    transfer,
    worker,
)
from optimizer.errors import InputError, OptimizerError
from optimizer.logs import quiet_libraries
from optimizer.processes import BAD_INPUT, BUG, INTERRUPTED, STOPPED, follow_parent

app = typer.Typer(
    name="optimizer",
    help="Search hyperparameters for Stable Diffusion LoRAs: SD1.5 first, carried over to SDXL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    *(plan, run, worker, stop, doctor, finals, pick, rescore, transfer, train),
    *(evaluate, compare, best, status, logs, report, dashboard, export_kohya, proxy, demo),
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
    follow_parent()
    quiet_libraries()
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            typer.secho(f"error: {problem}", err=True, fg="red")
        sys.exit(BAD_INPUT)
    except OptimizerError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(STOPPED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception:  # noqa: BLE001  # a code of its own: a supervisor tries a fresh process
        traceback.print_exc()
        typer.secho("error: that is a bug in optimizer; please report it", err=True, fg="red")
        sys.exit(BUG)


if __name__ == "__main__":
    main()
