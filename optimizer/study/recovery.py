"""Trials that ended without a result: begun again, a limited number of times."""

import logging
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.study.lease import Lease
from optimizer.trial import attrs

logger = logging.getLogger(__name__)

MOST_RETRIES = 2


def recover_orphans(study: optuna.Study) -> list[int]:
    """Fail and re-enqueue the running trials of dead workers; returns their numbers."""
    orphans = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        lease = trial.user_attrs.get(attrs.LEASE)
        if lease is not None and Lease(**lease).is_dead():
            fail_and_retry(study, trial, "killed", "the worker died without a word", counted=True)
            orphans.append(trial.number)
    return orphans


def fail_and_retry(
    study: optuna.Study, trial: FrozenTrial, outcome: str, reason: str, *, counted: bool
) -> bool:
    """Tell Optuna that a trial failed and enqueue its copy.

    Args:
        counted: whether this failure uses up one of the trial's retries; being stopped by a
            person does not.

    Returns whether it will run again.
    """
    # The class and the sentence come first: after the state changes a trial cannot be written to.
    storage, trial_id = study._storage, trial._trial_id
    storage.set_trial_user_attr(trial_id, attrs.OUTCOME, outcome)
    storage.set_trial_user_attr(trial_id, attrs.REASON, reason)
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    history: dict[str, Any] = trial.user_attrs.get(attrs.RETRY_OF, {"trial": None, "retries": 0})
    retries = history["retries"] + int(counted)
    if retries > MOST_RETRIES:
        logger.error("trial %d failed %d times; given up: %s", trial.number, retries, reason)
        return False
    kept = {k: v for k, v in trial.user_attrs.items() if k == attrs.SEED_ID}
    kept[attrs.RETRY_OF] = {"trial": trial.number, "retries": retries}
    study.enqueue_trial(trial.params, user_attrs=kept)
    logger.warning("trial %d (%s) will run again: %s", trial.number, outcome, reason)
    return True
