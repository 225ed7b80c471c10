"""Targets, errors and weights of the diffusion loss: pure functions, sd-scripts' formulas."""

import math

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from optimizer.config.training import Hyperparameters, LossType

_MOST_SNR = 1000.0
"""The first timestep's is nearly infinite."""
_LEAST_SNR = 1e-4
"""A schedule of zero terminal SNR ends in none, and weights divide by it."""


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


def timestep_weights(scheduler: DDPMScheduler, steps: Tensor, settings: Hyperparameters) -> Tensor:
    """What the settings multiply each picture's loss by (batch,), by its timestep."""
    snr = signal_to_noise(scheduler, steps).clamp(min=_LEAST_SNR)
    kind = scheduler.config.prediction_type
    weights = torch.ones_like(snr)
    if settings.min_snr_gamma is not None:
        weights = weights * min_snr_weights(snr, settings.min_snr_gamma, kind)
    if settings.debiased_estimation_loss:
        weights = weights * debiased_weights(snr, kind)
    return weights


def min_snr_weights(snr: Tensor, gamma: float, prediction_type: str) -> Tensor:
    """Min-SNR-gamma weights (batch,): Hang et al. 2023, arXiv 2303.09556, as sd-scripts has them.

    min(snr, gamma) / snr for noise prediction, min(snr, gamma) / (snr + 1) for velocity.
    """
    clipped = snr.clamp(max=gamma)
    return clipped / (snr + 1) if prediction_type == "v_prediction" else clipped / snr


def debiased_weights(snr: Tensor, prediction_type: str) -> Tensor:
    """Weights (batch,) of Yu et al. 2023, arXiv 2310.08442: 1 / sqrt(snr), 1 / (snr + 1) for v."""
    snr = snr.clamp(max=_MOST_SNR)
    return 1 / (snr + 1) if prediction_type == "v_prediction" else snr.rsqrt()


def huber_thresholds(scheduler: DDPMScheduler, steps: Tensor, settings: Hyperparameters) -> Tensor:
    """Where huber and smooth_l1 bend (batch,), by timestep: arXiv 2403.16728.

    `exponential` falls from 1 to huber_c over all timesteps, `snr` falls with the noise's share.
    """
    c = settings.huber_c
    if settings.huber_schedule == "exponential":
        count = int(scheduler.config.num_train_timesteps)
        return torch.exp(math.log(c) / count * steps.float())
    if settings.huber_schedule == "snr":
        sigmas = signal_to_noise(scheduler, steps).clamp(min=_LEAST_SNR).rsqrt()
        return (1 - c) / (1 + sigmas) ** 2 + c
    return torch.full(steps.shape, c, device=steps.device)


def per_picture_loss(
    prediction: Tensor,
    target: Tensor,
    masks: Tensor | None,
    loss_type: LossType = "l2",
    thresholds: Tensor | None = None,
) -> Tensor:
    """Mean error of each picture (batch,), in float32.

    Args:
        masks: (b, 1, h, w), weigh pixels.
        thresholds: (batch,), for huber and smooth_l1.
    """
    error = _error(prediction.float() - target.float(), loss_type, thresholds)
    if masks is not None:
        error = error * masks
    return error.mean(dim=(1, 2, 3))


def _error(difference: Tensor, loss_type: LossType, thresholds: Tensor | None) -> Tensor:
    if loss_type == "l2":
        return difference**2
    if loss_type == "l1":
        return difference.abs()
    assert thresholds is not None
    c = thresholds.view(-1, 1, 1, 1)
    root = (difference**2 + c**2).sqrt() - c
    return 2 * c * root if loss_type == "huber" else 2 * root
