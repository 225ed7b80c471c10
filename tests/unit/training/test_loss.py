"""The diffusion loss against hand-computed cases of sd-scripts' formulas."""

import math

import pytest
import torch
from diffusers import DDPMScheduler

from optimizer.config.training import Hyperparameters
from optimizer.training.loss import (
    debiased_weights,
    huber_thresholds,
    min_snr_weights,
    per_picture_loss,
    signal_to_noise,
    target_of,
    timestep_weights,
)


def scheduler(**changed: object) -> DDPMScheduler:
    known = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return DDPMScheduler(**(known | changed))


ONE = torch.ones(2, 1, 1, 2)
DIFFERENCE = torch.tensor([[[[3.0, -4.0]]], [[[0.0, 0.5]]]])


def loss(kind: str, c: float = 0.1) -> list[float]:
    thresholds = torch.full((2,), c)
    found = per_picture_loss(ONE + DIFFERENCE, ONE, None, kind, thresholds)  # type: ignore[arg-type]
    return [float(x) for x in found]


def test_l2_and_l1() -> None:
    assert loss("l2") == [12.5, 0.125]
    assert loss("l1") == [3.5, 0.25]


def test_huber_and_smooth_l1() -> None:
    def root(d: float, c: float) -> float:
        return math.sqrt(d * d + c * c) - c

    for c in (0.1, 0.5):
        smooth = [root(3, c) + root(4, c), root(0, c) + root(0.5, c)]
        assert loss("smooth_l1", c) == pytest.approx(smooth, rel=1e-5)
        assert loss("huber", c) == pytest.approx([c * x for x in smooth], rel=1e-5)


def test_masks_weigh_pixels_and_the_mean_is_over_all_of_them() -> None:
    masks = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 0.5]]]])
    assert per_picture_loss(ONE + DIFFERENCE, ONE, masks).tolist() == [4.5, 0.0625]


def test_loss_is_computed_in_float32() -> None:
    found = per_picture_loss((ONE + DIFFERENCE).bfloat16(), ONE.bfloat16(), None)
    assert found.dtype == torch.float32


def test_thresholds_shrink_as_the_schedule_says() -> None:
    steps, own = torch.tensor([0, 500, 999]), scheduler()

    def thresholds(kind: str) -> list[float]:
        settings = Hyperparameters.model_validate({"huber_c": 0.2, "huber_schedule": kind})
        return [float(x) for x in huber_thresholds(own, steps, settings)]

    assert thresholds("constant") == pytest.approx([0.2] * 3)
    falling = [math.exp(math.log(0.2) / 1000 * t) for t in (0, 500, 999)]
    assert thresholds("exponential") == pytest.approx(falling, rel=1e-5)
    sigmas = [math.sqrt((1 - a) / a) for a in own.alphas_cumprod[steps].tolist()]
    by_noise = [(1 - 0.2) / (1 + s) ** 2 + 0.2 for s in sigmas]
    assert thresholds("snr") == pytest.approx(by_noise, rel=1e-4)


def test_min_snr_weights() -> None:
    snr = torch.tensor([0.5, 5.0, 20.0])
    assert min_snr_weights(snr, 5.0, "epsilon").tolist() == pytest.approx([1, 1, 0.25])
    v = min_snr_weights(snr, 5.0, "v_prediction").tolist()
    assert v == pytest.approx([0.5 / 1.5, 5 / 6, 5 / 21])


def test_debiased_weights() -> None:
    snr = torch.tensor([0.25, 4.0, 1e6])
    found = debiased_weights(snr, "epsilon").tolist()
    assert found == pytest.approx([2, 0.5, 1 / math.sqrt(1000)])
    assert debiased_weights(snr[:2], "v_prediction").tolist() == pytest.approx([0.8, 0.2])


def test_weights_multiply_and_are_one_without_any() -> None:
    own, steps = scheduler(), torch.tensor([10, 900])
    plain = timestep_weights(own, steps, Hyperparameters())
    assert plain.tolist() == [1, 1]
    both = timestep_weights(
        own, steps, Hyperparameters(min_snr_gamma=5.0, debiased_estimation_loss=True)
    )
    snr = signal_to_noise(own, steps)
    expected = min_snr_weights(snr, 5.0, "epsilon") * debiased_weights(snr, "epsilon")
    assert torch.allclose(both, expected)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_zero_terminal_snr_keeps_every_weight_finite(kind: str) -> None:
    own = scheduler(rescale_betas_zero_snr=True, prediction_type=kind)
    steps = torch.tensor([0, 998, 999])
    settings = Hyperparameters(
        min_snr_gamma=5.0, debiased_estimation_loss=True, loss_type="huber", huber_schedule="snr"
    )
    assert float(signal_to_noise(own, steps)[-1]) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(timestep_weights(own, steps, settings)).all()
    assert torch.isfinite(huber_thresholds(own, steps, settings)).all()


def test_target_is_the_noise_or_the_velocity() -> None:
    latents, noise = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    steps = torch.tensor([100, 800])
    assert target_of(scheduler(), latents, noise, steps) is noise
    own = scheduler(prediction_type="v_prediction")
    alphas = own.alphas_cumprod[steps].view(2, 1, 1, 1)
    velocity = alphas.sqrt() * noise - (1 - alphas).sqrt() * latents
    assert torch.allclose(target_of(own, latents, noise, steps), velocity, atol=1e-6)
    with pytest.raises(ValueError, match="sample cannot be trained"):
        target_of(scheduler(prediction_type="sample"), latents, noise, steps)
