"""dino_i: how like the reference pictures a drawn one is, by a DINOv2 instead of CLIP."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from optimizer.scoring.array import Array
from optimizer.scoring.metrics import clip_i
from optimizer.scoring.pretrained import (
    Wanted,
    batches,
    identity_of,
    image_processor,
    load_pretrained,
    unit,
)

DINO = Wanted(
    key="dino_model",
    what="a DINOv2 model",
    kinds=("dinov2", "dinov2_with_registers"),
    example="facebook/dinov2-small",
    role="dino_model",
)


class DinoMetric:
    """Mean cosine of CLS tokens with all reference pictures (DreamBooth, 2208.12242).

    DINO is trained to tell pictures apart without words, so it sees what CLIP passes over: CLIP
    rewards any member of the class.
    """

    name = "dino_i"

    def __init__(
        self, reference: str, device: torch.device, references: Iterable[Image.Image]
    ) -> None:
        """Load it and embed the reference pictures; raises ModelError."""
        self.model: Any
        self.model, self.preprocess = load_pretrained(reference, DINO, image_processor)
        self.model.to(device)
        self.device = device
        self.identity = identity_of(self.model, self.preprocess)
        self.references = self.embed(references)

    def __call__(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Array:
        """Values (n,); the texts do not matter."""
        return clip_i(self.embed(images), self.references)

    @torch.no_grad()
    def embed(self, images: Iterable[Image.Image]) -> Array:
        """Unit vectors (n, d): the CLS token after the last layer norm."""
        vectors = []
        for batch in batches(images):
            rgb = [image.convert("RGB") for image in batch]
            pixels = self.preprocess(images=rgb, return_tensors="pt")["pixel_values"]
            states = self.model(pixel_values=pixels.to(self.device)).last_hidden_state
            vectors.append(unit(states[:, 0]))
        return np.concatenate(vectors)
