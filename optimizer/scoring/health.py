"""Pictures that no score should be given for: black, flat, or all the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

BLACK_MEAN = 4
"""Mean level (of 255) below which a picture is black."""
FLAT_DEVIATION = 2
"""Standard deviation (of 255) below which a picture is one colour."""
TOLERATED_SHARE = 0.5
"""Share of black or flat pictures from which a LoRA is unusable."""


@dataclass(frozen=True)
class Health:
    """Counts of unusable pictures."""

    pictures: int
    black: int
    flat: int
    identical: bool
    """Whether all pictures are the same one."""

    @property
    def ok(self) -> bool:
        """Whether the pictures may be scored."""
        return not self.identical and (self.black + self.flat) < TOLERATED_SHARE * self.pictures

    def sentence(self) -> str:
        """What is wrong, and what to do."""
        found = (
            "all pictures are the same"
            if self.identical
            else (
                f"{self.black} of {self.pictures} pictures are black and {self.flat} of one colour"
            )
        )
        return f"{found}; lower the learning rate, or use bf16 instead of fp16"


def health_of(images: Sequence[Image.Image]) -> Health:
    """Look at the pixels. diffusers turns non-finite values into black ones."""
    arrays = [np.asarray(image.convert("RGB"), dtype=np.float32) for image in images]
    black = sum(bool(a.mean() < BLACK_MEAN) for a in arrays)
    flat = sum(bool(a.std() < FLAT_DEVIATION and a.mean() >= BLACK_MEAN) for a in arrays)
    identical = len(arrays) > 1 and all(np.array_equal(arrays[0], a) for a in arrays[1:])
    return Health(len(arrays), black, flat, identical)
