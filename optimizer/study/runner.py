"""Running a study: opened, put right, given its first trials, worked on until a rule says stop."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import optuna

from optimizer.config.resolved import write_resolved
from optimizer.config.study import StudyConfig
from optimizer.space.fit import Fitted
from optimizer.storage.database import storage_url
from optimizer.storage.outage import outage_is_said
from optimizer.study.loop import Audience, Loop, Objective, StudyResult
from optimizer.study.open import open_study, space_of
from optimizer.study.recovery import recover_orphans
from optimizer.study.seeds import enqueue_seeds
from optimizer.study.signals import interruptible
from optimizer.study.stopping import Stopping
from optimizer.study.telling import recover_results
from optimizer.study.turns import turn


def run_study(
    config: StudyConfig,
    make_objective: Callable[[], Objective],
    audience: Audience,
    *,
    n_trials: int | None = None,
    seeds: Sequence[dict[str, Any]] = (),
    deadline: datetime | None = None,
) -> StudyResult:
    """Run what is left of a study, as one of any number of workers on any number of hosts.

    Args:
        make_objective: loads models and data; only called when there is a trial to run.
        n_trials: trials that count, over the study's whole life; the file's number if None.
        seeds: hyperparameters to try first.
        deadline: no trial is begun that is not likely to end before it; with its time zone. The
            file's timeout, from now, if None.

    Raises:
        InputError: the study cannot begin or go on; nothing that was found is lost.
        StudyStoppedError: too many trials failed, or were refused, in a row, or the disk
            is full.
    """
    wanted = n_trials or config.study.n_trials
    stopping = Stopping(config.study.stop, config.folder, wanted, deadline)
    with interruptible():
        study, fitted = _begin(config, seeds)
        audience.study_opened(study, wanted, fitted)
        return Loop(config, study, audience, stopping).run(make_objective)


def _begin(
    config: StudyConfig, seeds: Sequence[dict[str, Any]]
) -> tuple[optuna.Study, list[Fitted]]:
    """Open the study, put right what dead workers left, and see that it has its first trials."""
    url = storage_url(config.folder, config.study.storage)
    with outage_is_said(url), turn(config):
        study = open_study(config)
        write_resolved(config)
        recover_results(study, config.folder)
        recover_orphans(study, config.folder)
        return study, enqueue_seeds(study, seeds, space_of(config))
