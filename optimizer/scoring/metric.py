"""What every metric beyond CLIP's own is: a name, an identity, and a value for each picture."""

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from optimizer.scoring.array import Array


class Metric(Protocol):
    """One value a picture. A new metric is one file with such a class, and a line in extras.py."""

    @property
    def name(self) -> str:
        """Its name in scores.json and tables."""

    @property
    def identity(self) -> str:
        """Differs for other weights: cached scores are keyed by it."""

    def __call__(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Array:
        """Values (n,) of pictures and the texts (n) they should show, trigger replaced."""
