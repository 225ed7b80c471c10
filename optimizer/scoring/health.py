"""Pictures that no score should be given for: black, flat, or the same again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BLACK_MEAN = 4
"""Mean level (of 255) below which a picture is black."""
FLAT_DEVIATION = 2
"""Standard deviation (of 255, in every channel) below which a picture is one colour."""
SAME_DISTANCE = 2
"""Root mean square difference (of 255) below which two small pictures are the same."""
SMALL = 32
"""Side in pixels at which pictures are compared with each other."""
TOLERATED_SHARE = 0.5
"""Share of unusable pictures from which a LoRA is unusable."""


@dataclass(frozen=True)
class Health:
    """Counts of unusable pictures. No picture is counted twice."""

    pictures: int
    black: int
    """Also those whose values were not finite: they are drawn black."""
    flat: int
    identical: int
    """Pictures nearly identical to an earlier one, though prompt or seed differ."""

    @property
    def ok(self) -> bool:
        """Whether the pictures may be scored."""
        return self.black + self.flat + self.identical < TOLERATED_SHARE * self.pictures

    def sentence(self) -> str:
        """What is wrong, and what to do."""
        if self.ok:
            return f"{self.pictures} usable pictures"
        return (
            f"of {self.pictures} pictures {self.black} are black, {self.flat} of one colour and "
            f"{self.identical} the same as another one; lower the learning rate, or use bf16 "
            "instead of fp16"
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Health":
        """The reverse of dataclasses.asdict."""
        return cls(**data)


def health_of(images: Sequence[Image.Image]) -> Health:
    """Look at the pixels of one or more pictures of any sizes."""
    levels = [np.asarray(image.convert("RGB"), dtype=np.float32) for image in images]
    black = np.array([a.mean() < BLACK_MEAN for a in levels])
    flat = np.array([a.std(axis=(0, 1)).max() < FLAT_DEVIATION for a in levels]) & ~black
    identical = _repeats(images) & ~black & ~flat
    return Health(len(images), int(black.sum()), int(flat.sum()), int(identical.sum()))


def _repeats(images: Sequence[Image.Image]) -> NDArray[np.bool_]:
    """Whether a picture is the same as one before it, (n,)."""
    small = np.stack(
        [np.asarray(i.convert("RGB").resize((SMALL, SMALL)), dtype=np.float64) for i in images]
    ).reshape(len(images), -1)
    norms = (small**2).sum(axis=1)
    squared = np.clip(norms[:, None] + norms[None] - 2 * small @ small.T, 0, None)
    same = np.sqrt(squared / small.shape[1]) < SAME_DISTANCE
    found: NDArray[np.bool_] = np.tril(same, -1).any(axis=1)
    return found
