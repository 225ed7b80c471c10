"""From a trial's outcome to what Optuna is told: its state, its value, and the facts beside it."""

import json
import logging
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from optimizer.study.outside import record_again
from optimizer.study.recovery import fail_and_retry, orphans
from optimizer.trial import attrs
from optimizer.trial.outcome import Outcome
from optimizer.trial.worth import told_values

logger = logging.getLogger(__name__)

RESULT = "result.json"


def tell(study: optuna.Study, trial: FrozenTrial, outcome: Outcome, folder: Path) -> int:
    """Tell Optuna how a trial ended; returns the number under which its result is recorded.

    Told again, after a lost connection, it does what was not yet done.

    Args:
        folder: the study's.
    """
    if outcome.state in ("failed", "interrupted"):
        _note(study, trial, outcome.attributes)
        cost = int(outcome.state == "failed")
        fail_and_retry(study, trial, outcome.kind, outcome.reason, cost=cost)
        return trial.number
    facts = {attrs.OUTCOME: outcome.kind, attrs.REASON: outcome.reason} | outcome.attributes
    if outcome.state == "refused":
        if _note(study, trial, facts):
            study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
        return trial.number
    feasible = outcome.state == "complete"
    names, worth = study.metric_names, {attrs.OBJECTIVE: outcome.value} if feasible else {}
    values = told_values(names, facts | worth if feasible else {})
    facts |= {attrs.FEASIBLE: feasible} | (worth if len(values) > 1 else {})
    if _note(study, trial, facts):
        study.tell(trial.number, values, skip_if_finished=True)
    # As told here, now or before the connection was lost, or by somebody who was quicker.
    ended = study._storage.get_trial(trial._trial_id)
    if ended.values == values and attrs.FEASIBLE in ended.user_attrs:
        return trial.number
    return record_again(study, ended, values, facts, folder)


def hand_back(study: optuna.Study, trial_id: int, reason: str, folder: Path) -> None:
    """Let go of a trial whose worker was stopped before it began it, or before it could tell."""
    trial = study._storage.get_trial(trial_id)
    if not trial.state.is_finished():
        stopped = Outcome("interrupted", "interrupted", reason)
        tell(study, trial, _completed(_result_of(folder, trial.number)) or stopped, folder)


def _note(study: optuna.Study, trial: FrozenTrial, facts: dict[str, Any]) -> bool:
    """Write facts to a trial that has not ended; returns whether it has not."""
    try:
        for key, fact in facts.items():
            study._storage.set_trial_user_attr(trial._trial_id, key, fact)
    except UpdateFinishedTrialError:
        return False
    return True


def recover_results(study: optuna.Study, folder: Path) -> list[int]:
    """Record the trials whose worker wrote their result but died before it could tell Optuna.

    Returns the numbers under which they are recorded. See `orphans` for when to call it.
    """
    recorded = []
    for trial in orphans(study):
        if outcome := _completed(_result_of(folder, trial.number)):
            recorded.append(tell(study, trial, outcome, folder))
            logger.warning("trial %d: its result, left by a dead worker, is taken", trial.number)
    return recorded


def untold(study: optuna.Study, folder: Path) -> list[int]:
    """The numbers of trials that `recover_results` would record."""
    numbers = (trial.number for trial in orphans(study))
    return [n for n in numbers if _completed(_result_of(folder, n))]


def _result_of(folder: Path, number: int) -> Path:
    return folder / f"trial_{number:04d}" / RESULT


def _completed(path: Path) -> Outcome | None:
    """The outcome in a trial's result file if it is one that has a value."""
    if not path.exists():
        return None
    result = json.loads(path.read_bytes())
    kind, reason, value = (result.pop(key) for key in ("outcome", "reason", "value"))
    if value is None:
        return None
    return Outcome("complete", kind, reason, value, result)
