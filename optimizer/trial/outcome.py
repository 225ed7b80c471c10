"""The one place where what happened in a trial becomes a state, a class and a sentence."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from optimizer.errors import DiskFullError, InputError, TrialError
from optimizer.files import disk_full_is_said

logger = logging.getLogger(__name__)

_STICKY = ("CUDA error:", "CUBLAS_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED")
State = Literal["complete", "infeasible", "refused", "failed", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    state: `complete` has a value; `infeasible` was trained, but into something unusable, which
    the sampler should learn as the worst value; `refused` was never trained; `failed` and
    `interrupted` say nothing about the parameters.
    """

    state: State
    kind: str
    reason: str = ""
    value: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    replace_worker: str = ""
    """Why nothing more should be trained in this process; empty where it may go on."""


def outcome_of(run: Callable[[], Outcome], folder: Path) -> Outcome:
    """Run a trial, which writes into `folder`, and classify how it ended.

    Raises:
        InputError: pictures, models or settings are wrong; every other trial would fail alike.
        DiskFullError: likewise.
    """
    try:
        with disk_full_is_said(folder):
            return run()
    except (InputError, DiskFullError):
        raise
    except TrialError as error:
        state: State = "refused" if error.outcome == "infeasible" else "infeasible"
        return Outcome(state, error.outcome, str(error))
    except (KeyboardInterrupt, SystemExit) as error:
        return Outcome("interrupted", "interrupted", f"stopped by {_signal(error)}")
    except Exception as error:  # noqa: BLE001  # whatever a trial does, the study goes on
        return _unexpected(error)


def _unexpected(error: Exception) -> Outcome:
    import torch

    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        advice = "lower train_batch_size or network_dim, or turn gradient_checkpointing on"
        return Outcome("infeasible", "out_of_memory", f"{first_line}; {advice}")
    logger.exception("the trial failed")
    if is_sticky(error):
        return Outcome("failed", "cuda", first_line, replace_worker="the card is in an error")
    return Outcome("failed", type(error).__name__, first_line)


def is_sticky(error: Exception) -> bool:
    """Whether an error of the card stays until the process ends: nothing more can be done in it."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    # Of the libraries above CUDA, which raise plain RuntimeErrors.
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in _STICKY)


def _signal(error: BaseException) -> str:
    return str(error) or "Ctrl-C"
