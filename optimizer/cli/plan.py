"""`optimizer plan`: a study looked at before it runs."""

import json
from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    card_memory: Annotated[
        float | None,
        typer.Option(
            "--card-memory", min=1, metavar="GIB", help="Of the card; else of this machine's."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Predict steps, memory, time and disk of a study, and what its limits will refuse."""
    from optimizer.config.study import load_study
    from optimizer.report.plan import plan_of
    from optimizer.report.plan_view import print_plan

    config = load_study(study)
    plan = plan_of(config, card_memory)
    if as_json:
        typer.echo(json.dumps(plan.as_dict(), indent=2))
    else:
        print_plan(plan, config)
