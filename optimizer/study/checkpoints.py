"""Every scored checkpoint of a study, read from its trials' scores.json."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from optimizer.errors import StudyError
from optimizer.scoring.health import Health
from optimizer.study.results import feasible_trials
from optimizer.trial import attrs


@dataclass(frozen=True)
class Entry:
    """A checkpoint as the search scored it."""

    trial: int
    epoch: int
    checkpoint: str
    """Within the study's folder."""
    sha256: str
    objective: float
    objective_se: float


def entries(study: optuna.Study, folder: Path, top: int) -> list[Entry]:
    """The best `top` checkpoints across trials, best first; those deleted since are left out."""
    found = [entry for trial in feasible_trials(study) for entry in _of_trial(trial, folder)]
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
    of_trial = {entry.epoch: entry for entry in _of_trial(trials[trial], folder)}
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


def _of_trial(trial: FrozenTrial, folder: Path) -> Iterator[Entry]:
    """The checkpoints of a trial whose pictures may be scored."""
    best = Path(trial.user_attrs[attrs.CHECKPOINT])
    path = folder / f"trial_{trial.number:04d}" / "scores.json"
    for told in json.loads(path.read_bytes())["checkpoints"]:
        if Health.from_dict(told["health"]).ok:
            yield Entry(
                trial=trial.number,
                epoch=told["epoch"],
                checkpoint=(best.parent / told["file"]).as_posix(),
                sha256=told["sha256"],
                objective=told["objective"],
                objective_se=told["objective_se"],
            )
