"""Each way a trial can end, as a state, a class and a sentence."""

import logging
from pathlib import Path

import pytest
import torch

from optimizer.errors import (
    BadPicturesError,
    DatasetError,
    DivergedError,
    InfeasibleError,
    ModelError,
    NonFiniteLossError,
    OptimizerError,
    TrialError,
)
from optimizer.trial.outcome import Outcome, outcome_of


def ending(error: BaseException) -> Outcome:
    def run() -> Outcome:
        raise error

    return outcome_of(run, Path())


@pytest.mark.parametrize(
    ("error", "state", "kind"),
    [
        (NonFiniteLossError("nan at step 3"), "infeasible", "non_finite_loss"),
        (DivergedError("rose to 1.1"), "infeasible", "diverged"),
        (BadPicturesError("all black"), "infeasible", "bad_pictures"),
        (InfeasibleError("a rule"), "refused", "infeasible"),
        (torch.OutOfMemoryError("CUDA out of memory"), "infeasible", "out_of_memory"),
        (KeyboardInterrupt("SIGTERM"), "interrupted", "interrupted"),
        (SystemExit("asked to"), "interrupted", "interrupted"),
        (TrialError("of no special kind"), "infeasible", "error"),
        (MemoryError("host memory"), "failed", "MemoryError"),
        (RuntimeError("shapes cannot be multiplied"), "failed", "RuntimeError"),
        (OptimizerError("the base model changed"), "failed", "OptimizerError"),
        (ValueError("a bug\nwith details"), "failed", "ValueError"),
    ],
)
def test_errors_become_outcomes(error: BaseException, state: str, kind: str) -> None:
    outcome = ending(error)
    assert (outcome.state, outcome.kind) == (state, kind)
    assert str(error).splitlines()[0] in outcome.reason


def test_out_of_memory_says_what_to_lower() -> None:
    reason = ending(torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate")).reason
    assert reason.startswith("CUDA out of memory. Tried to; lower train_batch_size")


def test_ctrl_c_is_called_so() -> None:
    assert ending(KeyboardInterrupt()).reason == "stopped by Ctrl-C"
    assert ending(KeyboardInterrupt("SIGHUP")).reason == "stopped by SIGHUP"


def test_an_error_without_words_is_named_by_its_class() -> None:
    assert ending(ZeroDivisionError()).reason == "ZeroDivisionError"


def test_a_bug_is_logged_with_where_it_happened(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        ending(ValueError("a bug"))
    assert "in ending" in caplog.text or "in run" in caplog.text


@pytest.mark.parametrize("error", [DatasetError("a picture vanished"), ModelError("is damaged")])
def test_bad_input_is_not_a_trials_fault(error: Exception) -> None:
    with pytest.raises(type(error)):
        ending(error)


def test_a_value_passes_through() -> None:
    done = Outcome("complete", "complete", value=0.5)
    assert outcome_of(lambda: done, Path()) is done


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx"),
    ],
)
def test_an_error_of_the_card_is_not_the_parameters_fault(error: Exception) -> None:
    outcome = ending(error)
    assert (outcome.state, outcome.kind) == ("failed", "cuda")
    assert outcome.replace_worker == "the card is in an error"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("CUDA error: said by somebody else"),
    ],
)
def test_after_other_errors_the_process_goes_on(error: Exception) -> None:
    assert not ending(error).replace_worker
