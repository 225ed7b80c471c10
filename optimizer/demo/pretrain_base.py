"""Pretraining of the two base models on latents of the world's pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer

from optimizer.demo.training import drawings, logger, optimize, pixels_of
from optimizer.demo.world import base_drawing

BATCH = 64
PICTURES = 20_000
_CAPTION_DROPOUT = 0.1
BETAS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
Conditions = Callable[[Tensor], dict[str, Any]]


@dataclass(frozen=True)
class _Latents:
    values: Tensor
    ids: Tensor
    empty: Tensor


@torch.no_grad()
def _encode(
    vae: AutoencoderKL, tokenizer: CLIPTokenizer, rng: Random, device: torch.device
) -> _Latents:
    latents, captions = [], []
    for _ in range(PICTURES // BATCH):
        batch = drawings(base_drawing, rng, int(vae.config.sample_size), BATCH)
        captions += [d.caption for d in batch]
        with torch.autocast(device.type, torch.bfloat16):
            found = vae.encode(pixels_of(batch).to(device)).latent_dist.mode()
        latents.append(found.float() * vae.config.scaling_factor)
    return _Latents(torch.cat(latents), _ids(tokenizer, captions), _ids(tokenizer, [""]))


def _ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def train_base(
    unet: UNet2DConditionModel,
    encoders: list[torch.nn.Module],
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    conditions: Conditions,
    *,
    steps: int,
    seed: int,
    device: torch.device,
) -> float:
    """Train UNet and text encoders together, in place; returns the last loss.

    Args:
        conditions: token ids (batch, tokens) to the UNet's keyword arguments.
    """
    torch.manual_seed(seed)
    data = _encode(vae.to(device), tokenizer, Random(seed), device)
    logger.info("encoded %d pictures", len(data.values))
    scheduler = DDPMScheduler(**BETAS)
    modules = [unet, *encoders]
    for module in modules:
        module.to(device).train()

    def loss_of(step: int) -> Tensor:
        chosen = torch.randint(0, len(data.values), (BATCH,))
        clean, ids = data.values[chosen], data.ids[chosen].clone()
        ids[torch.rand(BATCH) < _CAPTION_DROPOUT] = data.empty
        noise = torch.randn_like(clean)
        times = torch.randint(0, 1000, (BATCH,), device=device)
        noisy = scheduler.add_noise(clean, noise, times)
        with torch.autocast(device.type, torch.bfloat16):
            predicted = unet(noisy, times, **conditions(ids.to(device))).sample
        return functional.mse_loss(predicted.float(), noise)

    parameters = [p for module in modules for p in module.parameters()]
    name = f"base {vae.config.sample_size}"
    return optimize(parameters, loss_of, steps=steps, learning_rate=1e-3, name=name)
