"""The scored checkpoints of a whole study."""

from pathlib import Path

import optuna

from optimizer.errors import StudyError
from optimizer.study.entry import Entry, entries_of
from optimizer.study.results import feasible_trials


def entries(study: optuna.Study, folder: Path, top: int) -> list[Entry]:
    """The best `top` checkpoints across trials, best first; those deleted since are left out."""
    found = [entry for trial in feasible_trials(study) for entry in entries_of(trial, folder)]
    there = [entry for entry in found if (folder / entry.checkpoint).is_file()]
    return sorted(there, key=lambda entry: entry.objective, reverse=True)[:top]


def entry_of(study: optuna.Study, folder: Path, trial: int, epoch: int) -> Entry:
    """One checkpoint by trial and epoch.

    Raises:
        StudyError: the study has no such trial, the trial no such checkpoint, or its file is gone.
    """
    trials = {t.number: t for t in feasible_trials(study)}
    if trial not in trials:
        known = ", ".join(map(str, sorted(trials))) or "none"
        raise StudyError(
            f"{study.study_name} has no trial {trial} with usable pictures; it has: {known}"
        )
    of_trial = {entry.epoch: entry for entry in entries_of(trials[trial], folder)}
    if epoch not in of_trial:
        known = ", ".join(map(str, sorted(of_trial)))
        raise StudyError(
            f"trial {trial} of {study.study_name} has no checkpoint of epoch {epoch}; "
            f"it has: {known}"
        )
    found = of_trial[epoch]
    if not (folder / found.checkpoint).is_file():
        raise StudyError(f"{folder / found.checkpoint} has been deleted; pick one that is there")
    return found
