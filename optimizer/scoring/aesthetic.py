"""aesthetic: LAION's predictor of how much people like a picture, 1 to 10."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from optimizer.errors import ModelError
from optimizer.scoring.array import Array
from optimizer.scoring.encoders import ClipEncoder

_HELP = (
    "Give aesthetic_head LAION's sac+logos+ava1-l14-linearMSE.pth from "
    "github.com/christophschuhmann/improved-aesthetic-predictor, converted to .safetensors: "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW_FILE). It judges "
    "embeddings of openai/clip-vit-large-patch14, so clip_model must be that one"
)


class AestheticMetric:
    """Linear layers over CLIP's unit vector of a picture (improved-aesthetic-predictor).

    The published head is 768-1024-128-64-16-1 with dropout, which does nothing here, and no
    activations in between.
    """

    name = "aesthetic"

    def __init__(self, file: Path, encoder: ClipEncoder) -> None:
        """Read the head.

        Raises:
            ModelError: no such file, no such head, or one for another CLIP.
        """
        self.encoder = encoder
        self.layers = _layers(file, _tensors(file))
        width, own = self.layers[0][0].shape[1], encoder.model.config.projection_dim
        if width != own:
            raise ModelError(
                f"{file} judges embeddings of {width} numbers, but clip_model "
                f"{encoder.reference} gives {own}. {_HELP}"
            )
        hashes = [torch.hash_tensor(tensor).item() for layer in self.layers for tensor in layer]
        self.identity = f"aesthetic-{hashes}-{encoder.identity}"

    def __call__(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Array:
        """Values (n,); the texts do not matter."""
        state = torch.from_numpy(self.encoder.pictures(images))
        for weight, bias in self.layers:
            state = torch.nn.functional.linear(state, weight, bias)
        values: Array = state[:, 0].numpy()
        return values


def _tensors(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise ModelError(f"{file}: no such file. {_HELP}")
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is not a readable .safetensors file: {error}. {_HELP}") from error


def _layers(file: Path, tensors: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases by the number in their names, `layers.4.weight`."""
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    names.sort(key=lambda name: int(name.rpartition(".")[2]) if name[-1].isdigit() else -1)
    try:
        layers = [
            (tensors[f"{name}.weight"].float(), tensors[f"{name}.bias"].float()) for name in names
        ]
        fits = all(b[0].shape[1] == a[0].shape[0] for a, b in pairwise(layers))
        whole = fits and layers[-1][0].shape[0] == 1
    except (KeyError, IndexError):
        whole = False
    if not whole:
        raise ModelError(
            f"{file} is no aesthetic head: its layers do not end in one number. {_HELP}"
        )
    return layers
