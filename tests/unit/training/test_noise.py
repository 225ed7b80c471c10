"""Noise as it is added in training."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from optimizer.config.training import Hyperparameters
from optimizer.training.noise import (
    perturbed,
    sample_noise,
    sample_timesteps,
    training_scheduler,
)

LATENTS = torch.zeros(6, 4, 16, 24)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(**chosen: object) -> Tensor:
    return sample_noise(LATENTS, seeded(), Hyperparameters.model_validate(chosen))


def test_plain_noise_is_gaussian_and_the_same_for_a_seed() -> None:
    assert torch.equal(noise(), torch.randn(LATENTS.shape, generator=seeded()))


def test_offset_shifts_whole_channels() -> None:
    shift = noise(noise_offset=0.1) - noise()
    assert torch.allclose(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-6)
    drawn = seeded()
    torch.randn(LATENTS.shape, generator=drawn)
    expected = 0.1 * torch.randn(6, 4, 1, 1, generator=drawn)
    assert torch.allclose(shift[:, :, :1, :1], expected, atol=1e-6)


def test_multires_noise_is_the_sum_of_coarser_layers_scaled_back() -> None:
    found = noise(multires_noise_iterations=3, multires_noise_discount=0.5)
    drawn = seeded()
    expected = torch.randn(LATENTS.shape, generator=drawn)
    for level in range(3):
        ratio = float(torch.rand((), generator=drawn)) * 2 + 2
        size = (max(1, int(16 / ratio**level)), max(1, int(24 / ratio**level)))
        layer = torch.randn(6, 4, *size, generator=drawn)
        expected += functional.interpolate(layer, (16, 24), mode="bilinear") * 0.5**level
        if 1 in size:
            break
    assert torch.allclose(found, expected / expected.std(), atol=1e-6)
    assert found.std() == pytest.approx(1)


def test_multires_noise_ends_at_one_latent_pixel() -> None:
    many = noise(multires_noise_iterations=40, multires_noise_discount=0.9)
    assert torch.isfinite(many).all()


def test_perturbation_adds_its_share_and_leaves_the_rest() -> None:
    plain = noise()
    assert perturbed(plain, seeded(), 0.0) is plain
    added = perturbed(plain, seeded(1), 0.1) - plain
    assert torch.allclose(added, 0.1 * torch.randn(plain.shape, generator=seeded(1)), atol=1e-6)


def test_timesteps_are_uniform_over_all_of_them() -> None:
    steps = sample_timesteps(20_000, 1000, seeded())
    assert (int(steps.min()), int(steps.max())) == (0, 999)
    assert float(steps.float().mean()) == pytest.approx(499.5, abs=10)


def test_schedule_is_the_base_models_own() -> None:
    config = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "steps_offset": 1,
    }
    scheduler = training_scheduler(config)
    assert scheduler.config.prediction_type == "v_prediction"
    assert float(scheduler.alphas_cumprod[-1]) == pytest.approx(0, abs=1e-6)
    plain = training_scheduler(config | {"rescale_betas_zero_snr": False})
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    assert torch.allclose(plain.alphas_cumprod, (1 - betas).cumprod(0), atol=1e-6)
