"""Between pictures and latents, at sizes that a model can draw."""

import logging
import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from optimizer.errors import ConfigError
from optimizer.models.base import DiffusionModel, Size
from optimizer.models.device import free_unused

logger = logging.getLogger(__name__)

DIFFUSERS_FACTOR = 8
"""diffusers' pipelines refuse sides that are no multiple of it, whatever the VAE."""


def picture_size(model: DiffusionModel, resolution: int | None) -> Size:
    """Height and width of drawn pictures; raises ConfigError when the model cannot draw them."""
    side = resolution or model.native_resolution
    factor = _factor(model)
    if side % factor:
        near = max(factor, round(side / factor) * factor)
        raise ConfigError(
            f"scoring.resolution {side} cannot be drawn: "
            f"with this base model it must be a multiple of {factor}, {near} for example"
        )
    return side, side


@torch.no_grad()
def decode(model: DiffusionModel, latents: Tensor) -> Image.Image:
    """The picture of scaled latents (c, h, w); a black one if its values are not finite.

    One picture at a time: decoding is the peak of memory, and a batch would gain no speed. In the
    VAE's own precision: diffusers' pipelines fail where it is finer than the UNet's.
    """
    vae = model.pipeline.vae
    weights = next(vae.parameters())
    unscaled = latents[None].to(weights.device, weights.dtype) / vae.config.scaling_factor
    pixels = _decoded(vae, unscaled)[0].float()
    if not pixels.isfinite().all():
        pixels = torch.full_like(pixels, -1)
    levels = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy()))


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    """Whole, or from the first time on that memory does not allow it in tiles."""
    pixels: Tensor
    try:
        pixels = vae.decode(latents).sample
    except torch.OutOfMemoryError:
        if vae.use_tiling:
            raise
    else:
        return pixels
    logger.warning("out of memory: from here on the VAE decodes in tiles, which may show seams")
    free_unused()
    vae.enable_tiling()
    # diffusers' own tile is as large as a picture of the model's native size.
    vae.tile_latent_min_size = max(latents.shape[-2:]) // 2
    vae.tile_sample_min_size = vae.tile_latent_min_size * 2 ** (
        len(vae.config.block_out_channels) - 1
    )
    pixels = vae.decode(latents).sample
    return pixels


@torch.no_grad()
def rebuilt(model: DiffusionModel, image: Image.Image, resolution: int | None) -> Image.Image:
    """A real picture as the model would draw it at best: encoded and decoded again.

    It keeps its shape and gets about as many pixels as a drawn one.
    """
    height, width = picture_size(model, resolution)
    factor, ratio = _factor(model), math.sqrt(image.width / image.height)
    wide, high = (max(1, round(s / factor)) * factor for s in (width * ratio, height / ratio))
    resized = image.convert("RGB").resize((wide, high), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(resized, dtype=np.float32)).permute(2, 0, 1)
    latents = model.encode_pictures(pixels[None] / 127.5 - 1)[0]
    return decode(model, latents * model.pipeline.vae.config.scaling_factor)


def _factor(model: DiffusionModel) -> int:
    """Sides of pictures must be multiples of this number of pixels."""
    return max(int(model.pipeline.vae_scale_factor), DIFFUSERS_FACTOR)
