"""Each way a trial can end, as a state, a class and a sentence."""

import pytest
import torch

from optimizer.errors import (
    BadPicturesError,
    DatasetError,
    InfeasibleError,
    NonFiniteLossError,
    OptimizerError,
)
from optimizer.trial.outcome import Outcome, outcome_of


def ending(error: BaseException) -> Outcome:
    def run() -> Outcome:
        raise error

    return outcome_of(run)


@pytest.mark.parametrize(
    ("error", "state", "kind"),
    [
        (NonFiniteLossError("nan at step 3"), "infeasible", "non_finite_loss"),
        (BadPicturesError("all black"), "infeasible", "bad_pictures"),
        (InfeasibleError("a rule"), "refused", "infeasible"),
        (torch.OutOfMemoryError("CUDA out of memory"), "infeasible", "out_of_memory"),
        (KeyboardInterrupt("SIGTERM"), "interrupted", "interrupted"),
        (OptimizerError("the base model changed"), "failed", "OptimizerError"),
        (ValueError("a bug\nwith details"), "failed", "ValueError"),
    ],
)
def test_errors_become_outcomes(error: BaseException, state: str, kind: str) -> None:
    outcome = ending(error)
    assert (outcome.state, outcome.kind) == (state, kind)
    assert str(error).splitlines()[0] in outcome.reason


def test_bad_input_is_not_a_trials_fault() -> None:
    with pytest.raises(DatasetError):
        ending(DatasetError("a picture vanished"))


def test_a_value_passes_through() -> None:
    done = Outcome("complete", "complete", value=0.5)
    assert outcome_of(lambda: done) is done
