"""`optimizer status`: where studies stand."""

import gc
import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STUDY.toml]...", help="Study files; all under runs/ if not given."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Redraw until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For scripts: an object, or a list for several.")
    ] = False,
) -> None:
    """Say whether studies run, how far they are, what is best and what failed. Reads only."""
    # A third of the command's time would go into looking for garbage among fresh modules.
    gc.disable()
    from optimizer.config.study import load_study
    from optimizer.report.status import study_status
    from optimizer.report.status_view import status_table
    from optimizer.report.status_view import watch as redraw
    from optimizer.report.tables import console

    gc.freeze()
    gc.enable()

    configs = [load_study(path) for path in studies or _all()]
    if watch:
        redraw(configs)
        return
    found = [study_status(config) for config in configs]
    if as_json:
        plain = [status.as_dict() for status in found]
        typer.echo(json.dumps(plain[0] if len(plain) == 1 else plain, indent=2))
        return
    for status in found:
        console.print(status_table(status))


def _all() -> list[Path]:
    from optimizer.config.resolved import RESOLVED
    from optimizer.errors import StudyError

    found = sorted(Path("runs").glob(f"*/{RESOLVED}"))
    if not found:
        raise StudyError("there are no studies in runs/ here; name a study file")
    return found
