"""Trials that ended without a result: begun again, a limited number of times."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.study.lease import lease_of
from optimizer.trial import attrs
from optimizer.trial.hang import hang_of

logger = logging.getLogger(__name__)

MOST_RETRIES = 2
HANG_COST = 2
"""Each hang costs minutes in which nothing happens: a trial may hang once."""
_FIXED_PARAMS = "fixed_params"
"""Where Optuna keeps what `enqueue_trial` was given."""


def recover_orphans(study: optuna.Study, folder: Path) -> list[int]:
    """Fail and re-enqueue the running trials of dead workers; returns their numbers.

    Args:
        folder: the study's.
    """
    found = orphans(study)
    for trial in found:
        _keep_time_spent(study, trial)
        if hang := hang_of(folder / f"trial_{trial.number:04d}"):
            fail_and_retry(study, trial, "hung", hang, cost=HANG_COST)
        else:
            fail_and_retry(study, trial, "killed", "the worker died without a word")
    return [trial.number for trial in found]


def orphans(study: optuna.Study) -> list[FrozenTrial]:
    """Running trials of dead workers.

    To be called where no other worker asks (`one_at_a_time`): a running trial without a lease is
    then one whose worker died before it could sign for it.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    leases = [(trial, lease_of(trial)) for trial in running]
    return [trial for trial, lease in leases if lease is None or lease.is_dead()]


def _keep_time_spent(study: optuna.Study, trial: FrozenTrial) -> None:
    """A dead worker's time counts as GPU-hours too, as far as it gave signs of life."""
    lease = lease_of(trial)
    if lease is not None:
        seconds = round(max(lease.seen - lease.since, 0.0), 2)
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            study._storage.set_trial_user_attr(trial._trial_id, attrs.SECONDS, seconds)


def fail_and_retry(
    study: optuna.Study, trial: FrozenTrial, outcome: str, reason: str, *, cost: int = 1
) -> bool:
    """Tell Optuna that a trial failed and enqueue its copy.

    Args:
        cost: how many of the trial's retries this failure uses up; being stopped by a person
            none.

    Returns whether it will run again.
    """
    # The class and the sentence come first: after the state changes a trial cannot be written to.
    storage, trial_id = study._storage, trial._trial_id
    try:
        storage.set_trial_user_attr(trial_id, attrs.OUTCOME, outcome)
        storage.set_trial_user_attr(trial_id, attrs.REASON, reason)
    except optuna.exceptions.UpdateFinishedTrialError:
        logger.warning("trial %d was ended from outside; it does not run again", trial.number)
        return False
    history: dict[str, Any] = trial.user_attrs.get(attrs.RETRY_OF, {"trials": [], "retries": 0})
    retries = int(history["retries"]) + cost
    again = retries <= MOST_RETRIES
    if again and not _has_copy(study, trial):
        # Before the state changes: a process that dies between the two finds this trial running
        # and its copy there, not a trial that failed and will never be done again.
        _enqueue_copy(study, trial, [*history["trials"], trial.number], retries)
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    if again:
        logger.warning("trial %d (%s) will run again: %s", trial.number, outcome, reason)
    else:
        logger.error("trial %d failed %d times; given up: %s", trial.number, retries, reason)
    return again


def _has_copy(study: optuna.Study, trial: FrozenTrial) -> bool:
    others = study.get_trials(deepcopy=False)
    return any(
        trial.number in t.user_attrs.get(attrs.RETRY_OF, {"trials": []})["trials"] for t in others
    )


def _enqueue_copy(
    study: optuna.Study, trial: FrozenTrial, attempts: list[int], retries: int
) -> None:
    kept = {k: v for k, v in trial.user_attrs.items() if k == attrs.SEED_ID}
    kept[attrs.RETRY_OF] = {"trials": attempts, "retries": retries}
    # A trial has params once they were suggested; until then a seed is what was enqueued.
    params = trial.system_attrs.get(_FIXED_PARAMS, {}) | trial.params
    study.enqueue_trial(params, user_attrs=kept)
