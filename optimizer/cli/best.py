"""`optimizer best`: the best trial of a study."""

from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Print the path of its best LoRA and nothing else.")
    ] = False,
) -> None:
    """Show the best settings found, their score and where the LoRA lies."""
    from optimizer.config.study import load_study
    from optimizer.errors import StudyError
    from optimizer.report.tables import print_best
    from optimizer.study.announce import write_best
    from optimizer.study.open import load_existing
    from optimizer.study.results import best_trial

    config = load_study(study)
    opened = load_existing(config)
    best = best_trial(opened, config.folder)
    if best is None:
        raise StudyError(f"{study}: no trial has finished yet")
    # Somebody may have picked it in a note on the dashboard, where only the database hears of it.
    write_best(config, opened, best)
    if checkpoint:
        typer.echo(best.checkpoint)
    else:
        print_best(config, best)
