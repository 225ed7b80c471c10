"""The forward diffusion: schedule, noise and timesteps."""

from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional

from optimizer.config.training import Hyperparameters


def training_scheduler(pipeline_config: dict[str, object]) -> DDPMScheduler:
    """The noise schedule the base model was trained with, from its pipeline's scheduler config."""
    kept = (
        *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"),
        *("prediction_type", "rescale_betas_zero_snr"),
    )
    return DDPMScheduler(**{k: pipeline_config[k] for k in kept if k in pipeline_config})


def sample_noise(latents: Tensor, generator: torch.Generator, settings: Hyperparameters) -> Tensor:
    """Noise like `latents` (b, c, h, w), float32: Gaussian, with what the settings add to it.

    noise_offset shifts each channel by N(0, 1) times the offset, so that a model learns very dark
    and very bright pictures (https://www.crosslabs.org/blog/diffusion-with-offset-noise).
    """
    noise = gaussian(latents.shape, generator)
    if settings.noise_offset:
        noise = noise + settings.noise_offset * gaussian((*latents.shape[:2], 1, 1), generator)
    if settings.multires_noise_iterations:
        noise = _with_coarser_layers(noise, generator, settings)
    return noise.to(latents.device)


def _with_coarser_layers(
    noise: Tensor, generator: torch.Generator, settings: Hyperparameters
) -> Tensor:
    """Multi-resolution noise: https://wandb.ai/johnowhitaker/multires_noise, as in sd-scripts.

    Each layer is coarser than the full size by a random 2 to 4 to the power of its number, and
    counts less by the discount to that power; the sum is scaled back to a deviation of one.
    """
    height, width = noise.shape[-2:]
    for level in range(settings.multires_noise_iterations):
        ratio = float(torch.rand((), generator=generator, device=generator.device)) * 2 + 2
        size = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        layer = gaussian((*noise.shape[:2], *size), generator)
        wide = functional.interpolate(layer, size=(height, width), mode="bilinear")
        noise = noise + wide * settings.multires_noise_discount**level
        if 1 in size:
            break
    return noise / noise.std()


def perturbed(noise: Tensor, generator: torch.Generator, gamma: float) -> Tensor:
    """Noise to add to the latents where the prediction is still asked for `noise` alone.

    Input perturbation, Ning et al. 2023, arXiv 2301.11706.
    """
    if not gamma:
        return noise
    return noise + gamma * gaussian(noise.shape, generator).to(noise.device)


def gaussian(shape: Any, generator: torch.Generator) -> Tensor:
    """Standard normal values, float32, on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32)


def sample_timesteps(batch: int, count: int, generator: torch.Generator) -> Tensor:
    """Uniform timesteps (batch,) in [0, count)."""
    return torch.randint(0, count, (batch,), generator=generator, device=generator.device)
