"""What both families share: a diffusers pipeline held in memory across trials."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from optimizer.errors import ModelError
from optimizer.models.base import PictureSizes, PromptEmbeds, Size
from optimizer.models.text import count_tokens


class PipelineModel(ABC):
    """A frozen base model. Subclasses say how their family encodes captions."""

    family: str
    encoder_names: tuple[str, ...]

    def __init__(self, pipeline: Any, name: str) -> None:
        self.pipeline = pipeline
        self.name = name
        pipeline.set_progress_bar_config(disable=True)
        for module in self.modules.values():
            module.requires_grad_(False).eval()

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        """All networks of the pipeline, by their pipeline attribute."""
        names = ("unet", "vae", *self.encoder_names)
        return {name: getattr(self.pipeline, name) for name in names}

    @property
    def text_encoders(self) -> dict[str, torch.nn.Module]:
        """Text encoders by their pipeline attribute."""
        return {name: getattr(self.pipeline, name) for name in self.encoder_names}

    @property
    def device(self) -> torch.device:
        """Where the UNet is."""
        device: torch.device = next(self.pipeline.unet.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen UNet."""
        # Its first parameters are the base's: adapters, which are float32, come last.
        dtype: torch.dtype = next(self.pipeline.unet.parameters()).dtype
        return dtype

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, in each direction."""
        return int(2 ** (len(self.pipeline.vae.config.block_out_channels) - 1))

    @property
    def native_resolution(self) -> int:
        """Side in pixels that the UNet was trained at."""
        return int(self.pipeline.unet.config.sample_size) * self.vae_factor

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by before the UNet sees them."""
        return float(self.pipeline.vae.config.scaling_factor)

    @abstractmethod
    def encode_prompts(
        self, captions: list[str], *, max_token_length: int = 75, clip_skip: int | None = None
    ) -> PromptEmbeds:
        """Encode captions; differentiable with respect to the text encoders."""

    @abstractmethod
    def unet_conditions(self, embeds: PromptEmbeds, sizes: list[PictureSizes]) -> dict[str, Any]:
        """Keyword arguments of the UNet for these embeddings and picture sizes."""

    @torch.no_grad()
    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Unscaled latents (batch, c, h, w), the posterior's mean, of pixels in [-1, 1]."""
        vae = self.pipeline.vae
        weights = next(vae.parameters())
        latents: Tensor = vae.encode(pixels.to(weights.device, weights.dtype)).latent_dist.mode()
        return latents.float()

    @contextmanager
    def resting(self, names: Collection[str]) -> Iterator[None]:
        """Have networks wait in host memory inside this block; the UNet must not be one of them."""
        device = self.device
        try:
            for name in names:
                self.modules[name].to("cpu")
            yield
        finally:
            for name in names:
                self.modules[name].to(device)

    def fingerprint(self) -> dict[str, int]:
        """A checksum of every network's base weights, adapters left out; cheap on the device."""
        return {name: _checksum(module) for name, module in self.modules.items()}

    @cached_property
    def loaded_weights(self) -> dict[str, int]:
        """`fingerprint` as it was when first asked for: before any training."""
        return self.fingerprint()

    def identity_of(self, component: str) -> str:
        """Names the very weights of a network, wherever they lie: what caches are keyed by."""
        return f"{self.family}-{component}-{self.loaded_weights[component]:016x}"

    def longest_caption(self, captions: list[str]) -> int:
        """Tokens of the longest caption."""
        return max(count_tokens(self.pipeline.tokenizer, caption) for caption in captions)

    def pipeline_conditions(self, embeds: PromptEmbeds, size: Size) -> dict[str, Any]:
        """Keyword arguments of the pipeline's `__call__` for positive prompts."""
        if any(side % self.vae_factor for side in size):
            height, width = size
            raise ModelError(
                f"a picture of {width}x{height} cannot be drawn: "
                f"both sides must be multiples of {self.vae_factor}, the VAE's factor"
            )
        return {"prompt_embeds": embeds.prompt_embeds, "height": size[0], "width": size[1]}


def _checksum(module: torch.nn.Module) -> int:
    """XOR of the bits of all base weights, each tensor weighted by its place.

    torch.hash_tensor alone is blind to tensors that change places, hence the multiplier.
    """
    total = 0
    state = (v for k, v in module.state_dict().items() if "lora_" not in k)
    for place, tensor in enumerate(state):
        bits = int(torch.hash_tensor(tensor.detach().contiguous()).item())
        total = (total ^ (bits * (2 * place + 1))) % 2**64
    return total
