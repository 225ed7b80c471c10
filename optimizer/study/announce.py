"""Telling the outside which trial is the best of a study."""

import optuna

from optimizer.config.study import StudyConfig
from optimizer.study.best_params import write_best_params
from optimizer.study.results import BestTrial
from optimizer.trial import attrs


def write_best(config: StudyConfig, study: optuna.Study, best: BestTrial) -> None:
    """Write best_params.json: after a trial, finals or a pick that changed the best."""
    provenance = {
        "study": config.name,
        "family": config.model.family,
        "space_digest": study.user_attrs[attrs.SPACE_DIGEST],
        "max_train_steps": study.trials[best.number].user_attrs.get(attrs.MAX_TRAIN_STEPS),
    }
    write_best_params(config.folder / "best_params.json", best, provenance)
