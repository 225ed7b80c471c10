"""Values of a running trial's checkpoints, told to Optuna for its plots."""

import logging

import optuna

from optimizer.errors import StudyError

logger = logging.getLogger(__name__)


def report_value(trial: optuna.Trial, value: float, epoch: int) -> None:
    """Report a checkpoint's value; a trial that was ended from outside is trained to its end.

    Raises:
        StudyError: the study was deleted: there is nothing left to train for.
    """
    try:
        trial.report(value, epoch)
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # The runner says so, once, and records the result as a trial of its own.
    except optuna.exceptions.StorageInternalError as error:
        # Only plots would miss it; the runner waits for the database when it has a result to tell.
        logger.warning("the value of trial %d's epoch %d is untold: %s", trial.number, epoch, error)
    except KeyError as error:
        raise StudyError(f"the study of trial {trial.number} was deleted") from error
