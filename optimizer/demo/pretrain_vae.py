"""Pretraining of an autoencoder on the world's pictures."""

from random import Random

import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from optimizer.demo.training import drawings, logger, optimize, pixels_of
from optimizer.demo.world import base_drawing

_BATCH = 16
_KL_WEIGHT = 1e-5


def train_vae(vae: AutoencoderKL, *, steps: int, seed: int, device: torch.device) -> float:
    """Train in place and set `scaling_factor`; returns the PSNR in dB on fresh pictures."""
    torch.manual_seed(seed)
    rng, size = Random(seed), int(vae.config.sample_size)
    # A new encoder's latents drown in their own noise (variance 1); begin almost without any.
    torch.nn.init.constant_(vae.quant_conv.bias[vae.config.latent_channels :], -6.0)
    vae.to(device).train()

    def loss_of(step: int) -> torch.Tensor:
        pixels = pixels_of(drawings(base_drawing, rng, size, _BATCH)).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        error = decoded.float() - pixels
        kl = posterior.kl().float().mean() / pixels[0].numel()
        loss: torch.Tensor = error.abs().mean() + 2 * (error**2).mean() + _KL_WEIGHT * kl
        return loss

    optimize(list(vae.parameters()), loss_of, steps=steps, learning_rate=1.5e-3, name=f"vae {size}")
    vae.eval()
    return _calibrate(vae, Random(seed + 1), device)


@torch.no_grad()
def _calibrate(vae: AutoencoderKL, rng: Random, device: torch.device) -> float:
    size = int(vae.config.sample_size)
    pixels = pixels_of(drawings(base_drawing, rng, size, 256)).to(device)
    latents = vae.encode(pixels).latent_dist.mode()
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
    decoded = vae.decode(latents).sample.clamp(-1, 1)
    psnr = float(10 * torch.log10(4 / functional.mse_loss(decoded, pixels)))
    logger.info("vae %d: PSNR %.1f dB, scaling factor %s", size, psnr, vae.config.scaling_factor)
    return psnr
