"""CLIP as a judge: pictures and texts to unit vectors that can be compared."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from optimizer.errors import ModelError
from optimizer.scoring.array import Array
from optimizer.scoring.pretrained import (
    Wanted,
    batches,
    identity_of,
    image_processor,
    load_pretrained,
    unit,
)

JUDGE = Wanted(
    key="clip_model",
    what="a CLIP or SigLIP model",
    kinds=("clip", "siglip"),
    example="openai/clip-vit-large-patch14",
    role="the judge",
)
"""The kinds are those that map pictures and texts to one space."""


class ClipEncoder:
    """A CLIP or SigLIP model from a folder or the hub, in float32 on every device."""

    def __init__(self, reference: str, device: torch.device, wanted: Wanted = JUDGE) -> None:
        """Load it once.

        Raises:
            ModelError: nothing lies there, it is no CLIP, or the hub cannot be reached.
        """
        from transformers import AutoTokenizer

        self.model: Any
        self.preprocess: Any
        self.tokenizer: Any
        self.model, self.preprocess, self.tokenizer = load_pretrained(
            reference, wanted, image_processor, AutoTokenizer.from_pretrained
        )
        # transformers makes up an empty tokenizer where files are missing: all texts would be one.
        if len(self.tokenizer) <= len(set(self.tokenizer.all_special_ids)):
            raise ModelError(f"{reference} has no tokenizer files. {wanted.help}")
        self.model.to(device)
        self.reference, self.device = reference, device

    @cached_property
    def identity(self) -> str:
        """Differs for other weights or preprocessing."""
        return identity_of(self.model, self.preprocess)

    @property
    def max_tokens(self) -> int:
        """Longest text, marks included, that the model can read."""
        return int(self.model.config.text_config.max_position_embeddings)

    @torch.no_grad()
    def pictures(self, images: Iterable[Image.Image]) -> Array:
        """Unit vectors (n, d) of one or more pictures, which may come lazily."""
        vectors = []
        for batch in batches(images):
            rgb = [image.convert("RGB") for image in batch]
            pixels = self.preprocess(images=rgb, return_tensors="pt")["pixel_values"]
            features = self.model.get_image_features(pixel_values=pixels.to(self.device))
            vectors.append(unit(features))
        return np.concatenate(vectors)

    @torch.no_grad()
    def texts(self, texts: Iterable[str]) -> Array:
        """Unit vectors (n, d) of one or more texts, cut at the model's own limit."""
        wanted = list(texts)
        places = {text: place for place, text in enumerate(dict.fromkeys(wanted))}
        vectors = []
        for batch in batches(places):
            tokens = self.tokenizer(
                batch,
                padding="max_length",
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            # No mask: SigLIP was trained without one, and CLIP looks at nothing past the end.
            features = self.model.get_text_features(input_ids=tokens.input_ids.to(self.device))
            vectors.append(unit(features))
        found: Array = np.concatenate(vectors)[[places[text] for text in wanted]]
        return found
