"""Which bucket a picture trains in, how it is resized and what is trimmed; sd-scripts' rules."""

import math
from dataclasses import dataclass
from functools import lru_cache

from optimizer.config.dataset import Dataset

WidthHeight = tuple[int, int]
"""Width and height in pixels, the order in which sd-scripts writes buckets."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture in its bucket.

    bucket and resized are (width, height). crop is the (top, left) corner of the bucket in the
    resized picture; resized covers the bucket, so the rest is trimmed.
    """

    bucket: WidthHeight
    resized: WidthHeight
    crop: tuple[int, int]

    @property
    def trimmed_share(self) -> float:
        """Share of the resized picture that falls outside the bucket."""
        kept = self.bucket[0] * self.bucket[1]
        return 1 - kept / (self.resized[0] * self.resized[1])


def place(width: int, height: int, dataset: Dataset) -> Placement:
    """Return where a picture of `width` x `height` pixels goes."""
    return _place(
        width,
        height,
        dataset.resolution,
        (dataset.min_bucket_reso, dataset.max_bucket_reso, dataset.bucket_reso_steps),
        dataset.enable_bucket,
        dataset.bucket_no_upscale,
    )


@lru_cache(maxsize=4096)  # pictures of one source mostly share a few sizes
def _place(
    width: int,
    height: int,
    resolution: WidthHeight,
    limits: tuple[int, int, int],
    enable_bucket: bool,
    no_upscale: bool,
) -> Placement:
    if not enable_bucket:
        return _covering(width, height, resolution)
    if no_upscale:
        return _place_without_upscaling(width, height, resolution, limits[2])
    buckets = bucket_resolutions(resolution, *limits)
    return _covering(width, height, _nearest(width, height, buckets))


@lru_cache(maxsize=64)
def bucket_resolutions(
    resolution: WidthHeight, min_bucket_reso: int, max_bucket_reso: int, bucket_reso_steps: int
) -> tuple[WidthHeight, ...]:
    """Return all buckets whose area is at most that of `resolution`, sorted.

    The limits are rounded to whole steps, the lower one down and the upper one up.
    """
    step = bucket_reso_steps
    low = max(step, min_bucket_reso // step * step)
    high = -(-max_bucket_reso // step) * step
    area = resolution[0] * resolution[1]
    square = max(step, int(math.sqrt(area) // step) * step)
    buckets = {(square, square)}
    for width in range(low, high + 1, step):
        height = min(high, area // width // step * step)
        if height >= low:
            buckets |= {(width, height), (height, width)}
    return tuple(sorted(buckets))


def _nearest(width: int, height: int, buckets: tuple[WidthHeight, ...]) -> WidthHeight:
    """The first bucket of the nearest aspect ratio; no two have the same."""
    ratio = width / height
    return min(buckets, key=lambda bucket: abs(bucket[0] / bucket[1] - ratio))


def _place_without_upscaling(
    width: int, height: int, resolution: WidthHeight, step: int
) -> Placement:
    area = resolution[0] * resolution[1]
    shrink = width * height > area
    resized = _shrunk(width, height, area, step) if shrink else (width, height)
    # sd-scripts divides by zero on a side below one step; such a picture fills one step here.
    bucket = (max(step, resized[0] // step * step), max(step, resized[1] // step * step))
    if bucket[0] > resized[0] or bucket[1] > resized[1]:
        return _covering(width, height, bucket)
    return _trimmed(bucket, resized)


def _shrunk(width: int, height: int, area: int, step: int) -> WidthHeight:
    """The size near `area` with one side on a step, whichever side bends the ratio less."""
    ratio = width / height
    wide = _on_step(math.sqrt(area * ratio), step)
    high = _on_step(area / math.sqrt(area * ratio), step)
    wide_error = abs(wide / _on_step(wide / ratio, step) - ratio)
    high_error = abs(_on_step(high * ratio, step) / high - ratio)
    if wide_error < high_error:
        return wide, int(wide / ratio + 0.5)
    return int(high * ratio + 0.5), high


def _on_step(side: float, step: int) -> int:
    return max(step, int(side + 0.5) // step * step)


def _covering(width: int, height: int, bucket: WidthHeight) -> Placement:
    """Scale so that the picture just covers the bucket."""
    wider = width / height > bucket[0] / bucket[1]
    scale = bucket[1] / height if wider else bucket[0] / width
    resized = (int(width * scale + 0.5), int(height * scale + 0.5))
    # Rounding may leave a side one pixel short of the bucket.
    return _trimmed(bucket, (max(resized[0], bucket[0]), max(resized[1], bucket[1])))


def _trimmed(bucket: WidthHeight, resized: WidthHeight) -> Placement:
    top, left = (resized[1] - bucket[1]) // 2, (resized[0] - bucket[0]) // 2
    return Placement(bucket, resized, (top, left))
