"""Models that look at pictures, from a folder or the hub, and clear words about other things."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from optimizer.errors import ModelError
from optimizer.logs import hide_loading_bars
from optimizer.scoring.array import Array

T = TypeVar("T")

BATCH = 32

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
"""What transformers raises on folders and hub ids that it cannot use."""


@dataclass(frozen=True)
class Wanted:
    """What a setting in [scoring] asks for, in words for its errors."""

    key: str
    what: str
    """With its article: "a CLIP or SigLIP model"."""
    kinds: tuple[str, ...]
    """transformers' names of the architectures that will do."""
    example: str
    """A hub id."""
    role: str
    """What it cannot be loaded as: "the judge"."""

    @property
    def help(self) -> str:
        """What to do."""
        return (
            f"Give {self.key} a folder that holds {self.what}, or a hub id such as "
            f"{self.example}; without internet, download it beforehand with "
            f"`hf download {self.example}` or name its folder"
        )

    def unusable(self, reference: str, error: Exception) -> ModelError:
        """What transformers said, and what to do."""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
        return ModelError(f"{reference} cannot be loaded as {self.role}: {reason}. {self.help}")


def load_pretrained(reference: str, wanted: Wanted, *processors: Any) -> tuple[Any, ...]:
    """A model in float32 and its processors, in evaluation mode and without gradients.

    Args:
        processors: functions of a reference, such as `AutoTokenizer.from_pretrained`.

    Raises:
        ModelError: nothing lies there, it is of another kind or lacks weights, or the hub cannot
            be reached.
    """
    from transformers import AutoModel

    _check_kind(reference, wanted)
    if Path(reference).is_absolute():
        hide_loading_bars()
    try:
        model, facts = AutoModel.from_pretrained(
            reference, dtype=torch.float32, output_loading_info=True
        )
        others = [load(reference) for load in processors]
    except _UNREADABLE as error:
        raise wanted.unusable(reference, error) from error
    if missing := sorted(facts["missing_keys"]):
        raise ModelError(
            f"{reference} lacks {len(missing)} of its weights, {missing[0]} for one, and "
            f"would judge at random. {wanted.help}"
        )
    return (model.eval().requires_grad_(False), *others)


def image_processor(reference: str) -> Any:
    """A model's own preprocessing, the same whether or not torchvision is installed.

    torchvision resizes a little differently: scores would depend on what is installed.
    """
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(reference, backend="pil")


def identity_of(model: Any, preprocess: Any) -> str:
    """Names these very weights and this preprocessing: what caches of scores are keyed by."""
    digest = sha256(preprocess.to_json_string().encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {torch.hash_tensor(tensor).item()}".encode())
    return f"{model.config.model_type}-{digest.hexdigest()[:16]}"


def unit(features: Any) -> Array:
    """Unit vectors; transformers 5 wraps features in an output object, 4 returned them bare."""
    bare: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    found: Array = torch.nn.functional.normalize(bare.float(), dim=-1).cpu().numpy()
    return found


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Lists of BATCH items; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _check_kind(reference: str, wanted: Wanted) -> None:
    """A wrong folder is said before gigabytes are read from it."""
    from transformers import AutoConfig

    if Path(reference).is_absolute() and not Path(reference).is_dir():
        raise ModelError(f"{reference}: no such folder. {wanted.help}")
    try:
        kind = AutoConfig.from_pretrained(reference).model_type
    except _UNREADABLE as error:
        raise wanted.unusable(reference, error) from error
    if kind not in wanted.kinds:
        raise ModelError(
            f'{reference} is a model of type "{kind}", not {wanted.what}. {wanted.help}'
        )
