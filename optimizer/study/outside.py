"""What others do to a study while it runs: a trial told on the dashboard, the study deleted."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from optimizer.config.study import StudyConfig
from optimizer.errors import InputError, StudyError
from optimizer.trial import attrs

logger = logging.getLogger(__name__)


def record_again(
    study: optuna.Study,
    ended: FrozenTrial,
    values: list[float],
    facts: dict[str, Any],
    folder: Path,
) -> int:
    """Record the result of a trial that was ended from outside as a new COMPLETE trial.

    A finished trial cannot be written to, and its GPU hours should not be lost.

    Args:
        ended: the trial as it now stands in the storage.
        facts: its user_attrs, had it been left alone.
        folder: the study's. The new trial gets a folder with the same files in it.

    Returns the new trial's number.
    """
    known = _number_of_result(study, ended)
    if known is not None:
        return known
    kept = {k: v for k, v in ended.user_attrs.items() if k == attrs.SEED_ID}
    study.add_trial(
        create_trial(
            state=TrialState.COMPLETE,
            values=values,
            params=ended.params,
            distributions=ended.distributions,
            user_attrs=kept | facts | {attrs.RESULT_OF: ended.number},
            intermediate_values=ended.intermediate_values,
        )
    )
    number = _number_of_result(study, ended)
    assert number is not None
    _share(folder / f"trial_{ended.number:04d}", folder / f"trial_{number:04d}")
    logger.warning(
        "trial %d was ended from outside (%s) while it ran; its result is recorded as trial %d",
        ended.number,
        ended.state.name,
        number,
    )
    return number


def _number_of_result(study: optuna.Study, ended: FrozenTrial) -> int | None:
    trials = study.get_trials(deepcopy=False)
    return next(
        (t.number for t in trials if t.user_attrs.get(attrs.RESULT_OF) == ended.number), None
    )


def _share(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    """A second name for a file, without its bytes where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def deletion_is_said(study: optuna.Study, config: StudyConfig) -> Iterator[None]:
    """Turn what a deleted study makes Optuna raise into one sentence.

    Raises:
        StudyError: the study is not in its database any more.
    """
    try:
        yield
    except (KeyError, InputError) as error:
        if config.name in optuna.get_all_study_names(study._storage):
            raise
        raise StudyError(
            f"study {config.name} was deleted from its database while it ran; the files of its "
            f"trials are still in {config.folder}; move that folder away to begin the study anew"
        ) from error
