"""`optimizer finals`: the best checkpoints of a study, scored again."""

from optimizer.cli.options import StudyFile


def command(study: StudyFile) -> None:
    """Score a study's best checkpoints on fresh seeds with more pictures, and say who wins.

    How many and with how many pictures stands under [scoring.finals] in the study file.
    """
    from optimizer.config.study import load_study
    from optimizer.report.finals import run_finals

    run_finals(load_study(study))
