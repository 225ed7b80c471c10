"""What the rest of the package may know of a base model, whichever family it is."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Size = tuple[int, int]
"""Height and width, in pixels."""


@dataclass(frozen=True)
class PromptEmbeds:
    """Encoded captions, as the UNet takes them.

    prompt_embeds: (batch, tokens, channels). pooled_prompt_embeds: (batch, channels), SDXL only.
    """

    prompt_embeds: Tensor
    pooled_prompt_embeds: Tensor | None = None


@dataclass(frozen=True)
class PictureSizes:
    """SDXL's micro-conditioning for one picture: source size, crop corner and bucket, (h, w)."""

    original: Size
    crop_top_left: Size
    target: Size


class DiffusionModel(Protocol):
    """What drawing needs of a base model: a diffusers pipeline and what differs by family."""

    @property
    def pipeline(self) -> Any:
        """StableDiffusionPipeline or StableDiffusionXLPipeline."""

    @property
    def device(self) -> torch.device:
        """Where the UNet is."""

    @property
    def text_encoders(self) -> dict[str, torch.nn.Module]:
        """Text encoders by their pipeline attribute name (`text_encoder`, `text_encoder_2`)."""

    @property
    def native_resolution(self) -> int:
        """Side in pixels that the UNet was trained at: sample_size times the VAE factor."""

    def encode_prompts(
        self, captions: list[str], *, max_token_length: int = 75, clip_skip: int | None = None
    ) -> PromptEmbeds:
        """Encode captions; differentiable with respect to the text encoders."""

    def unet_conditions(self, embeds: PromptEmbeds, sizes: list[PictureSizes]) -> dict[str, Any]:
        """Keyword arguments of the UNet for these embeddings and picture sizes."""

    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Unscaled latents (batch, c, h, w) of pixels (batch, 3, H, W) in [-1, 1]."""

    def pipeline_conditions(self, embeds: PromptEmbeds, size: Size) -> dict[str, Any]:
        """Keyword arguments of the pipeline's `__call__` for positive prompts."""
