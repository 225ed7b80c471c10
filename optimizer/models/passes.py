"""A UNet's pass on inputs of the right shapes and no meaning: for counting on the meta device."""

from typing import Any

import torch
from torch import Tensor

from optimizer.models.base import PictureSizes, PromptEmbeds, Size
from optimizer.models.pipeline_model import PipelineModel


def unet_pass(model: PipelineModel, batch: int, size: Size) -> Tensor:
    """What the UNet answers: (batch, channels, height, width) of latents.

    Args:
        size: height and width in pixels.
    """
    unet = model.pipeline.unet
    latents = (batch, int(unet.config.in_channels), *(side // model.vae_factor for side in size))
    pooled = None
    if model.family == "sdxl":
        pooled = torch.zeros(batch, _pooled_width(unet), dtype=model.dtype)
    width = int(unet.config.cross_attention_dim)
    states = torch.zeros(batch, token_count(model), width, dtype=model.dtype)
    conditions = model.unet_conditions(
        PromptEmbeds(states, pooled), [PictureSizes(size, (0, 0), size)] * batch
    )
    steps = torch.zeros(batch, dtype=torch.long)
    answer: Tensor = unet(torch.zeros(latents, dtype=model.dtype), steps, **conditions).sample
    return answer


def token_count(model: PipelineModel) -> int:
    """Of one chunk of a prompt."""
    return int(model.pipeline.text_encoder.config.max_position_embeddings)


def _pooled_width(unet: Any) -> int:
    return int(unet.add_embedding.linear_1.in_features) - 6 * int(
        unet.config.addition_time_embed_dim
    )
