"""A sample's pixels as the VAE takes them: upright, without alpha, resized, cropped, flipped."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from optimizer.data.pictures import read_upright
from optimizer.data.samples import Color, Sample

_RESAMPLING = {
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "linear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "cubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "box": Image.Resampling.BOX,
}
_SIXTEEN_BITS = 65535


@dataclass(frozen=True)
class Pixels:
    """One picture.

    pixels: (3, H, W), float32 in [-1, 1]. alpha: (1, H, W), float32 in [0, 1], only with
    alpha_mask; ones where the file has no alpha channel.
    """

    pixels: Tensor
    alpha: Tensor | None


def load_pixels(sample: Sample) -> Pixels:
    """Read and prepare a picture; raise DatasetError naming a file that cannot be decoded.

    Transparent parts become white: what lies under them is left over from drawing, and black
    is what sd-scripts users complain about.
    """
    image = read_upright(sample.record.path)
    color, alpha = on_white(image)
    color = _cut(color, sample)
    if sample.color is not None:
        color = _recolored(color, sample.color)
    pixels = torch.from_numpy(np.asarray(color, dtype=np.float32)).permute(2, 0, 1)
    mask = None
    if sample.record.subset.alpha_mask:
        alpha = Image.new("L", image.size, 255) if alpha is None else alpha
        mask = torch.from_numpy(np.asarray(_cut(alpha, sample), dtype=np.float32))[None] / 255
    return Pixels((pixels / 127.5 - 1).contiguous(), mask)


def on_white(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the picture as RGB on white, and its alpha channel if there is one."""
    if image.mode.startswith("I"):  # 16 bits of grey; convert() would clip at 255
        grey = np.asarray(image, dtype=np.float64).clip(0, _SIXTEEN_BITS) / (_SIXTEEN_BITS / 255)
        image = Image.fromarray(grey.round().astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB"), None
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB"), image.getchannel("A")


def _cut(image: Image.Image, sample: Sample) -> Image.Image:
    """Resize, crop to the bucket and flip."""
    resized, (width, height) = sample.placement.resized, sample.placement.bucket
    if image.size != resized:
        image = image.resize(resized, _resampling(image.size, sample))
    top, left = sample.crop
    image = image.crop((left, top, left + width, top + height))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if sample.flip else image


def _resampling(size: tuple[int, int], sample: Sample) -> Image.Resampling:
    chosen = sample.record.subset.resize_interpolation
    if chosen is None:
        shrinks = all(a > b for a, b in zip(size, sample.placement.resized, strict=True))
        chosen = "area" if shrinks else "lanczos"
    return _RESAMPLING[chosen]


def _recolored(image: Image.Image, color: Color) -> Image.Image:
    if color.hue:
        hue, saturation, value = image.convert("HSV").split()
        turned = hue.point([round(level + color.hue / 360 * 256) % 256 for level in range(256)])
        image = Image.merge("HSV", (turned, saturation, value)).convert("RGB")
    if color.gamma != 1:
        curve = [round(255 * (level / 255) ** color.gamma) for level in range(256)]
        image = image.point(curve * 3)
    return image
