"""Picture files: what their headers say, and their pixels, upright."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError

from optimizer.errors import DatasetError

PICTURE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif"})
"""In lower case; sd-scripts' list without what Pillow cannot read by itself."""

_MOST_LOPSIDED = 16
"""Ratio of sides from which nearly all of a picture would be trimmed or blown up."""
_SHORTEST_SIDE = 8
"""Pixels; less does not make one latent."""

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
"""What Pillow's readers raise on damaged files."""

_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of this EXIF orientation upright."""
_ON_ITS_SIDE = 5
"""EXIF orientations from here on swap width and height."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a picture before it is decoded; height and width once upright."""

    height: int
    width: int
    orientation: int
    """EXIF's number; 1 is upright."""
    has_alpha: bool


def read_header(path: Path) -> Header:
    """Read a picture's header; a picture that is cut off is found out too.

    Raises:
        DatasetError: no picture, damaged, cut off, or of a size that cannot be trained on.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            header = _header(image)
            if not _is_whole(file, image.format):
                image.load()
    except Image.DecompressionBombError:
        raise DatasetError(f"{path}: has too many pixels; make it smaller") from None
    except _BROKEN as error:
        raise DatasetError(f"{path}: {_reason(path, error)}") from None
    _check_size(path, header)
    return header


def read_upright(path: Path) -> Image.Image:
    """Decode a picture and turn it as its EXIF orientation says; raise DatasetError."""
    try:
        with Image.open(path) as image:
            orientation = exif_orientation(image)
            image.load()
            transpose = _TRANSPOSED.get(orientation)
            return image.copy() if transpose is None else image.transpose(transpose)
    except Image.DecompressionBombError:
        raise DatasetError(f"{path}: has too many pixels; make it smaller") from None
    except _BROKEN as error:
        raise DatasetError(f"{path}: {_reason(path, error)}") from None


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation of an opened, not yet decoded picture; 1 where there is none."""
    try:
        # PngImageFile.getexif decodes all pixels in search of a late chunk; headers do here.
        exif = Image.Image.getexif(image)
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except _BROKEN:  # damaged EXIF does not make the pixels useless
        return 1


def _header(image: Image.Image) -> Header:
    orientation = exif_orientation(image)
    width, height = image.size
    if _ON_ITS_SIDE <= orientation <= max(_TRANSPOSED):
        width, height = height, width
    has_alpha = image.has_transparency_data
    return Header(height, width, orientation, has_alpha)


def _is_whole(file: BinaryIO, picture_format: str | None) -> bool:
    """Whether the file's last bytes are those of a complete file; False may be a false alarm."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 64))
    tail = file.read()
    file.seek(0)
    if picture_format == "JPEG":
        return b"\xff\xd9" in tail
    if picture_format == "PNG":
        return b"IEND" in tail
    if picture_format == "WEBP":
        return int.from_bytes(file.read(8)[4:], "little") + 8 <= size
    return False


def _check_size(path: Path, header: Header) -> None:
    short, long = sorted((header.height, header.width))
    size = f"{header.width} x {header.height} pixels"
    if short < _SHORTEST_SIDE:
        raise DatasetError(f"{path}: {size} is too small; remove it")
    if long > _MOST_LOPSIDED * short:
        raise DatasetError(f"{path}: {size} is too long and thin; crop it")


def _reason(path: Path, error: BaseException) -> str:
    if isinstance(error, PermissionError):
        return "may not be read; check its permissions"
    if path.stat().st_size == 0:
        return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is not a picture that can be read"
    return f"is damaged or cut off ({error})"
