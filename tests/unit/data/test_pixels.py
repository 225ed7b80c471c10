"""Pixels of every kind of file, upright, on white, cropped and flipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from optimizer.config.dataset import DatasetConfig
from optimizer.data.batches import epoch_batches
from optimizer.data.pixels import Pixels, load_pixels
from optimizer.data.records import scan
from optimizer.data.samples import Color, Sample
from optimizer.errors import DatasetError

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


@pytest.fixture
def sample(configure: Configure) -> Callable[..., Sample]:
    """The one sample of an epoch over the folder."""

    def sample(**keys: Any) -> Sample:
        (plan,) = epoch_batches(scan(configure(**keys)), seed=0, epoch=1)
        return plan.samples[0]

    return sample


Draws = Callable[..., Sample]


def mean(loaded: Pixels) -> list[float]:
    levels = (loaded.pixels.mean(dim=(1, 2)) + 1) * 127.5
    return [round(level) for level in levels.tolist()]


def test_shape_and_range(draw: Draw, sample: Draws) -> None:
    draw("a.png", (100, 60))
    loaded = load_pixels(sample())
    assert loaded.pixels.shape == (3, 48, 80)
    assert loaded.pixels.dtype == torch.float32
    assert loaded.pixels.min() >= -1
    assert loaded.pixels.max() <= 1
    assert loaded.alpha is None


def grey16(level: int) -> Image.Image:
    return Image.fromarray(np.full((64, 64), level, dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (Image.new("RGB", (64, 64), (10, 20, 30)), "a.png", [10, 20, 30]),
        (Image.new("L", (64, 64), 100), "a.png", [100] * 3),
        (Image.new("1", (64, 64), 1), "a.png", [255] * 3),
        (grey16(100 * 257), "a.png", [100] * 3),
        (Image.new("LA", (64, 64), (0, 0)), "a.png", [255] * 3),
        (Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "a.png", [255] * 3),
        (Image.new("RGBA", (64, 64), (255, 0, 0, 128)), "a.webp", [255, 127, 127]),
        (Image.new("RGB", (64, 64), (10, 200, 30)).quantize(), "a.png", [10, 200, 30]),
        (Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "a.jpg", [254, 0, 0]),
    ],
)
def test_kinds_of_pictures(
    image: Image.Image, name: str, expected: list[int], draw: Draw, sample: Draws
) -> None:
    draw(name, image=image, **({"lossless": True} if name.endswith("webp") else {}))
    assert mean(load_pixels(sample())) == pytest.approx(expected, abs=1)


def test_a_transparent_palette_colour_is_white(draw: Draw, sample: Draws) -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0] * 256)
    draw("a.png", image=image, transparency=0)
    assert mean(load_pixels(sample())) == [255] * 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_is_followed(orientation: int, name: str, draw: Draw, sample: Draws) -> None:
    upright = Image.new("RGB", (64, 64))
    upright.paste((255, 255, 255), (0, 0, 32, 16))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw(name, image=stored, exif=exif)
    pixels = load_pixels(sample()).pixels
    assert pixels[:, :12, :28].mean() > 0.9
    assert pixels[:, 20:, :].mean() < -0.9
    assert pixels[:, :, 36:].mean() < -0.9


def halves() -> Image.Image:
    """Black left, white right, 96 x 64: trimmed to 64 x 64."""
    image = Image.new("RGBA", (96, 64), (0, 0, 0, 255))
    image.paste((255, 255, 255, 0), (48, 0, 96, 64))
    return image


def test_crop_and_flip(draw: Draw, sample: Draws) -> None:
    draw("a.png", image=halves())
    found = {
        keep: load_pixels(Sample(one.record, one.placement, (0, left), flip, None, "", 1.0)).pixels[
            0, 0
        ]
        for one in [sample(enable_bucket=False)]
        for keep, left, flip in [("left", 0, False), ("right", 32, False), ("flip", 0, True)]
    }
    assert [(found[k] < 0).sum().item() for k in ("left", "right", "flip")] == [48, 16, 48]
    assert torch.equal(found["flip"], found["left"].flip(0))


def test_alpha_becomes_a_mask(draw: Draw, sample: Draws) -> None:
    draw("a.png", image=halves())
    loaded = load_pixels(sample(enable_bucket=False, alpha_mask=True))
    assert loaded.alpha is not None
    assert loaded.alpha.shape == (1, 64, 64)
    assert torch.equal(loaded.alpha[0, 0], (torch.arange(64) < 32).float())


def test_a_picture_without_alpha_counts_in_full(draw: Draw, sample: Draws) -> None:
    draw("a.jpg")
    loaded = load_pixels(sample(alpha_mask=True))
    assert loaded.alpha is not None
    assert loaded.alpha.min() == 1


def test_interpolation(draw: Draw, sample: Draws) -> None:
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[::2] = 255
    draw("a.png", image=Image.fromarray(stripes))
    area = load_pixels(sample()).pixels
    assert torch.allclose(area, torch.full_like(area, 128 / 127.5 - 1), atol=1e-6)
    assert load_pixels(sample(resize_interpolation="nearest")).pixels.abs().min() == 1


def test_colours_change_as_asked(draw: Draw, sample: Draws) -> None:
    draw("a.png", image=Image.new("RGB", (64, 64), (200, 100, 100)))
    one = sample()

    def colored(color: Color | None) -> list[float]:
        return mean(load_pixels(Sample(one.record, one.placement, one.crop, False, color, "", 1.0)))

    assert colored(Color()) == colored(None) == [200, 100, 100]
    assert colored(Color(hue=120)) == pytest.approx([100, 200, 100], abs=3)
    assert colored(Color(gamma=2.0)) == [157, 39, 39]


def test_a_damaged_picture_is_named(draw: Draw, sample: Draws) -> None:
    path = draw("a.png", (64, 64))
    one = sample()
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DatasetError, match=r"a\.png: is damaged or cut off"):
        load_pixels(one)
