"""The guard itself: what it lets pass and what it stops, in losses as trainings have them."""

import random

import pytest
from diffusers import DDPMScheduler

from optimizer.config.training import Hyperparameters
from optimizer.errors import DivergedError
from optimizer.training.results import Step
from optimizer.trial.divergence import WINDOW, DivergenceGuard, loss_of_nothing


def last_step(losses: list[float], nothing: float = 1.0) -> int | None:
    """The update at which the guard stops, None if it does not."""
    guard = DivergenceGuard(nothing)
    for number, loss in enumerate(losses, 1):
        try:
            guard.observe(Step(1, number, len(losses), loss, 1e-4, 1.0, 0.5))
        except DivergedError:
            return number
    return None


def test_a_loss_that_rises_at_once_is_stopped_within_two_windows() -> None:
    stopped = last_step([0.05, *[1.0] * 100])
    assert stopped is not None
    assert WINDOW < stopped <= 2 * WINDOW


def test_a_loss_that_rises_later_is_stopped_too() -> None:
    stopped = last_step([0.1] * 200 + [1.0] * 100)
    assert stopped is not None
    assert 200 < stopped <= 200 + 2 * WINDOW


def test_rises_that_pass_are_let_pass_however_many() -> None:
    assert last_step(([0.1] * 50 + [1.0] * WINDOW) * 5 + [0.1] * 50) is None


def test_single_pictures_may_differ_thirtyfold() -> None:
    random.seed(0)
    losses = [min(0.1 * random.lognormvariate(0, 1.3), 1.0) for _ in range(5000)]
    assert max(losses) > 30 * min(losses)
    assert last_step([0.002, *losses]) is None


def test_a_model_that_knows_nothing_yet_may_learn() -> None:
    assert last_step([1.0] * 200) is None


def test_the_sentence_names_losses_step_and_remedy() -> None:
    guard = DivergenceGuard(1.0)
    with pytest.raises(DivergedError) as stopped:
        for number in range(1, 100):
            guard.observe(Step(1, number, 99, 0.05 if number == 1 else 1.04, 1e-4, 1.0, 0.5))
    said = str(stopped.value)
    assert "rose from 0.05 to 1.04" in said
    assert "of 99" in said
    assert "lower the learning rate" in said


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, 1.0),
        ({"loss_type": "l1"}, 0.798),  # E|x| = sqrt(2 / pi)
        ({"min_snr_gamma": 1e9}, 1.0),
    ],
)
def test_predicting_nothing_costs_what_the_loss_makes_of_noise(
    chosen: dict[str, object], expected: float
) -> None:
    found = loss_of_nothing(DDPMScheduler(), Hyperparameters.model_validate(chosen))
    assert found == pytest.approx(expected, abs=0.02)


def test_weights_make_predicting_nothing_cheaper() -> None:
    weighted = loss_of_nothing(DDPMScheduler(), Hyperparameters(min_snr_gamma=1.0))
    assert weighted < 0.9
