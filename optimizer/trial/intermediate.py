"""Values of a running trial's checkpoints, told to Optuna for its plots."""

import optuna

from optimizer.errors import StudyError


def report_value(trial: optuna.Trial, value: float, epoch: int) -> None:
    """Report a checkpoint's value; a trial that was ended from outside is trained to its end.

    Raises:
        StudyError: the study was deleted: there is nothing left to train for.
    """
    try:
        trial.report(value, epoch)
    except optuna.exceptions.UpdateFinishedTrialError:
        pass  # The runner says so, once, and records the result as a trial of its own.
    except KeyError as error:
        raise StudyError(f"the study of trial {trial.number} was deleted") from error
