"""CLIP as a judge: pictures and texts to unit vectors that can be compared."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from optimizer.errors import ModelError
from optimizer.logs import hide_loading_bars

Array = NDArray[np.float32]
T = TypeVar("T")

BATCH = 32
KINDS = ("clip", "siglip")
"""transformers' names of the architectures that map pictures and texts to one space."""

_HELP = (
    "Give clip_model a folder that holds a CLIP or SigLIP model, or a hub id such as "
    "openai/clip-vit-large-patch14; without internet, download it beforehand with "
    "`hf download` or name its folder"
)


class ClipEncoder:
    """A CLIP or SigLIP model from a folder or the hub, in float32 on every device."""

    def __init__(self, reference: str, device: torch.device) -> None:
        """Load it once.

        Raises:
            ModelError: nothing lies there, it is no CLIP, or the hub cannot be reached.
        """
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        _check_kind(reference)
        if Path(reference).is_absolute():
            hide_loading_bars()
        try:
            model, facts = AutoModel.from_pretrained(
                reference, dtype=torch.float32, output_loading_info=True
            )
            # torchvision resizes a little differently: scores would depend on what is installed.
            self.preprocess: Any = AutoImageProcessor.from_pretrained(reference, backend="pil")
            self.tokenizer: Any = AutoTokenizer.from_pretrained(reference)
        except _UNREADABLE as error:
            raise _cannot_load(reference, error) from error
        if missing := sorted(facts["missing_keys"]):
            raise ModelError(
                f"{reference} lacks {len(missing)} of its weights, {missing[0]} for one, and "
                f"would judge at random. {_HELP}"
            )
        # transformers makes up an empty tokenizer where files are missing: all texts would be one.
        if len(self.tokenizer) <= len(set(self.tokenizer.all_special_ids)):
            raise ModelError(f"{reference} has no tokenizer files. {_HELP}")
        self.model: Any = model.eval().requires_grad_(False).to(device)
        self.reference, self.device = reference, device

    @cached_property
    def identity(self) -> str:
        """Names these very weights and this preprocessing: what caches of scores are keyed by."""
        digest = sha256(self.preprocess.to_json_string().encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(f"{name} {torch.hash_tensor(tensor).item()}".encode())
        return f"{self.model.config.model_type}-{digest.hexdigest()[:16]}"

    @property
    def max_tokens(self) -> int:
        """Longest text, marks included, that the model can read."""
        return int(self.model.config.text_config.max_position_embeddings)

    @torch.no_grad()
    def pictures(self, images: Iterable[Image.Image]) -> Array:
        """Unit vectors (n, d) of one or more pictures, which may come lazily."""
        vectors = []
        for batch in _batches(images):
            rgb = [image.convert("RGB") for image in batch]
            pixels = self.preprocess(images=rgb, return_tensors="pt")["pixel_values"]
            features = self.model.get_image_features(pixel_values=pixels.to(self.device))
            vectors.append(_unit(features))
        return np.concatenate(vectors)

    @torch.no_grad()
    def texts(self, texts: Iterable[str]) -> Array:
        """Unit vectors (n, d) of one or more texts, cut at the model's own limit."""
        wanted = list(texts)
        places = {text: place for place, text in enumerate(dict.fromkeys(wanted))}
        vectors = []
        for batch in _batches(places):
            tokens = self.tokenizer(
                batch,
                padding="max_length",
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            # No mask: SigLIP was trained without one, and CLIP looks at nothing past the end.
            features = self.model.get_text_features(input_ids=tokens.input_ids.to(self.device))
            vectors.append(_unit(features))
        found: Array = np.concatenate(vectors)[[places[text] for text in wanted]]
        return found


_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
"""What transformers raises on folders and hub ids that it cannot use."""


def _check_kind(reference: str) -> None:
    """A wrong folder is said before gigabytes are read from it."""
    from transformers import AutoConfig

    if Path(reference).is_absolute() and not Path(reference).is_dir():
        raise ModelError(f"{reference}: no such folder. {_HELP}")
    try:
        kind = AutoConfig.from_pretrained(reference).model_type
    except _UNREADABLE as error:
        raise _cannot_load(reference, error) from error
    if kind not in KINDS:
        raise ModelError(f'{reference} is a model of type "{kind}", which cannot judge. {_HELP}')


def _cannot_load(reference: str, error: Exception) -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
    return ModelError(f"{reference} cannot be loaded as the judge: {reason}. {_HELP}")


def _unit(features: Any) -> Array:
    """transformers 5 wraps the features in an output object; 4 returned them bare."""
    bare: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    unit: Array = torch.nn.functional.normalize(bare.float(), dim=-1).cpu().numpy()
    return unit


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
