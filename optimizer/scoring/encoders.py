"""CLIP as a judge: pictures and texts to unit vectors that can be compared."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from optimizer.errors import ModelError

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
T = TypeVar("T")

BATCH = 32


class ClipEncoder:
    """A CLIP or SigLIP model from a folder or the hub."""

    def __init__(self, reference: str, device: torch.device) -> None:
        """Load it once.

        Raises:
            ModelError: nothing lies there, it is no CLIP, or the hub cannot be reached.
        """
        from transformers import AutoModel, AutoProcessor

        if reference.startswith("/") and not Path(reference).is_dir():
            raise ModelError(f"{reference}: no such folder; clip_model must hold a CLIP model")
        try:
            self.model: Any = AutoModel.from_pretrained(reference)
            self.processor: Any = AutoProcessor.from_pretrained(reference)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(
                f"{reference} cannot be loaded as the judge: {reason} "
                "Give clip_model a folder with a CLIP model, or a hub id such as "
                "openai/clip-vit-large-patch14 that is downloaded or can be"
            ) from error
        if not hasattr(self.model, "get_image_features"):
            kind = type(self.model).__name__
            raise ModelError(f"{reference} is a {kind}; clip_model must be a CLIP or SigLIP")
        self.model.float().eval().requires_grad_(False).to(device)
        self.reference, self.device = reference, device

    @torch.no_grad()
    def pictures(self, images: Sequence[Image.Image]) -> Array:
        """Unit vectors (n, d) of pictures."""
        vectors = []
        for batch in _batches(images):
            rgb = [image.convert("RGB") for image in batch]
            inputs = self.processor.image_processor(images=rgb, return_tensors="pt")
            pixels = inputs["pixel_values"].to(self.device)
            vectors.append(_unit(self.model.get_image_features(pixel_values=pixels)))
        return np.concatenate(vectors)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Array:
        """Unit vectors (n, d) of texts, cut at the model's own limit."""
        unique = list(dict.fromkeys(texts))
        vectors = []
        for batch in _batches(unique):
            inputs = self.processor.tokenizer(
                list(batch), padding="max_length", truncation=True, return_tensors="pt"
            ).to(self.device)
            vectors.append(_unit(self.model.get_text_features(**inputs)))
        found = np.concatenate(vectors)
        return found[[unique.index(text) for text in texts]]


def _unit(features: Any) -> Array:
    """transformers 5 wraps the features in an output object; 4 returned them bare."""
    bare: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    unit: Array = torch.nn.functional.normalize(bare.float(), dim=-1).cpu().numpy()
    return unit


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
