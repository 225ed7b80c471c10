"""`optimizer status`: where a study stands."""

import json
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say whether a study runs, how far it is, what is best and what failed. Reads only."""
    from optimizer.config.study import load_study
    from optimizer.report.status import print_status, study_status

    status = study_status(load_study(study))
    if as_json:
        typer.echo(json.dumps(status.as_dict(), indent=2))
    else:
        print_status(status)
