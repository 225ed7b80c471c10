"""Noise, timesteps, targets and weights of the diffusion loss: pure functions."""

import torch
from diffusers import DDPMScheduler
from torch import Tensor


def training_scheduler(pipeline_config: dict[str, object]) -> DDPMScheduler:
    """The noise schedule the base model was trained with, from its pipeline's scheduler config."""
    kept = (
        *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"),
        *("prediction_type", "rescale_betas_zero_snr"),
    )
    return DDPMScheduler(**{k: pipeline_config[k] for k in kept if k in pipeline_config})


def sample_noise(latents: Tensor, generator: torch.Generator, noise_offset: float) -> Tensor:
    """Gaussian noise like `latents` (b, c, h, w), each channel shifted by `noise_offset` * N(0,1).

    The offset lets a model learn very dark and very bright pictures
    (https://www.crosslabs.org/blog/diffusion-with-offset-noise).
    """
    noise = torch.randn(
        latents.shape, generator=generator, device=generator.device, dtype=torch.float32
    )
    if noise_offset:
        shift = torch.randn(*latents.shape[:2], 1, 1, generator=generator, device=generator.device)
        noise = noise + noise_offset * shift
    return noise.to(latents.device)


def sample_timesteps(batch: int, count: int, generator: torch.Generator) -> Tensor:
    """Uniform timesteps (batch,) in [0, count)."""
    return torch.randint(0, count, (batch,), generator=generator, device=generator.device)


def target_of(scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """What the UNet should predict: the noise, or the velocity of a v-prediction model."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        velocity: Tensor = scheduler.get_velocity(latents, noise, steps)
        return velocity
    raise ValueError(f"prediction type {kind} cannot be trained")


def signal_to_noise(scheduler: DDPMScheduler, steps: Tensor) -> Tensor:
    """SNR (batch,) at the given timesteps: alpha_bar / (1 - alpha_bar)."""
    alphas: Tensor = scheduler.alphas_cumprod.to(steps.device)[steps]
    return alphas / (1 - alphas)


def min_snr_weights(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR-gamma weights (batch,): Hang et al. 2023, arXiv 2303.09556, as sd-scripts has them.

    min(snr, gamma) / snr for noise prediction, min(snr, gamma) / (snr + 1) for velocity.
    """
    clipped = snr.clamp(max=gamma)
    return clipped / (snr + 1) if prediction_type == "v_prediction" else clipped / snr


def per_picture_loss(prediction: Tensor, target: Tensor, masks: Tensor | None) -> Tensor:
    """Mean squared error of each picture (batch,), in float32; masks (b, 1, h, w) weight pixels."""
    error = (prediction.float() - target.float()) ** 2
    if masks is not None:
        error = error * masks
    return error.mean(dim=(1, 2, 3))
