"""`optimizer pick`: a person overrules the scores."""

import optuna

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.report.tables import console, print_best
from optimizer.study.announce import write_best
from optimizer.study.checkpoints import entry_of
from optimizer.study.choice import keep_pick, picked
from optimizer.study.open import load_existing
from optimizer.study.results import best_trial


def pick(config: StudyConfig, trial: int, epoch: int, why: str) -> None:
    """Make a checkpoint the study's best; raises StudyError when there is no such one."""
    study = load_existing(config)
    keep_pick(study, picked(entry_of(study, config.folder, trial, epoch), why))
    _tell(config, study)


def unpick(config: StudyConfig) -> None:
    """Let finals or the search choose again."""
    study = load_existing(config)
    keep_pick(study, None)
    _tell(config, study)


def _tell(config: StudyConfig, study: optuna.Study) -> None:
    best = best_trial(study, config.folder)
    if best is None:
        raise StudyError(f"{config.path}: no trial has finished yet")
    write_best(config, study, best)
    print_best(config, best)
    console.print(f"settings: {config.folder / 'best_params.json'}", soft_wrap=True)
