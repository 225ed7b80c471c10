"""What a running trial tells Optuna of its checkpoints, and whether it is still worth training."""

import logging

import optuna

from optimizer.errors import StudyError
from optimizer.storage.outage import OUTAGES
from optimizer.trial import attrs
from optimizer.trial.worth import has_several

logger = logging.getLogger(__name__)


def report_value(trial: optuna.Trial, value: float, epoch: int) -> None:
    """Report a checkpoint's value; a trial that was ended from outside is trained to its end.

    Raises:
        StudyError: the study was deleted: there is nothing left to train for.
    """
    if has_several(trial.study):
        return
    try:
        trial.report(value, epoch)
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # The runner says so, once, and records the result as a trial of its own.
    except OUTAGES as error:
        # Only plots would miss it; the runner waits for the database when it has a result to tell.
        logger.warning("the value of trial %d's epoch %d is untold: %s", trial.number, epoch, error)
    except KeyError as error:
        raise StudyError(f"the study of trial {trial.number} was deleted") from error


def is_hopeless(trial: optuna.Trial, standard_error: float) -> bool:
    """Whether the study's pruner gives a trial up; never while it cannot be asked.

    Args:
        standard_error: of the trial's best checkpoint so far.

    Raises:
        StudyError: the study was deleted.
    """
    if has_several(trial.study):
        return False
    try:
        trial.set_user_attr(attrs.STANDARD_ERROR, standard_error)
        return trial.should_prune()
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    except OUTAGES as error:
        logger.warning("trial %d goes on, whatever it is worth: %s", trial.number, error)
        return False
    except KeyError as error:
        raise StudyError(f"the study of trial {trial.number} was deleted") from error
