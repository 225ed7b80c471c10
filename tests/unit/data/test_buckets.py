"""Buckets as sd-scripts makes and assigns them; numbers from its own code."""

import pytest

from optimizer.config.dataset import Dataset
from optimizer.data.buckets import Placement, bucket_resolutions, place


def dataset(no_upscale: bool = False, **keys: object) -> Dataset:
    sizes = {"resolution": (1024, 1024), "min_bucket_reso": 768, "max_bucket_reso": 1536}
    modes = {"enable_bucket": True, "bucket_no_upscale": no_upscale, "subsets": ()}
    return Dataset.model_validate(sizes | modes | keys)


def test_the_guides_eleven_buckets() -> None:
    tall = [(768, 1280), (768, 1344), (832, 1216), (896, 1152), (960, 1088)]
    wide = [(width, height) for height, width in reversed(tall)]
    # Sorted by width, and 1280 x 768 comes before 1344 x 768.
    assert bucket_resolutions((1024, 1024), 768, 1536, 64) == tuple(
        sorted([*tall, (1024, 1024), *wide])
    )


@pytest.mark.parametrize(
    ("limits", "count"), [((256, 2048, 64), 41), ((256, 1024, 64), 25), ((768, 1536, 64), 11)]
)
def test_counts(limits: tuple[int, int, int], count: int) -> None:
    assert len(bucket_resolutions((1024, 1024), *limits)) == count


def test_limits_are_rounded_to_steps() -> None:
    rounded = bucket_resolutions((1024, 1024), 768, 1536, 64)
    assert bucket_resolutions((1024, 1024), 800, 1500, 64) == rounded
    rounded = bucket_resolutions((1024, 1024), 256, 1024, 64)
    assert bucket_resolutions((1024, 1024), 300, 1000, 64) == rounded


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 1500), Placement((832, 1216), (832, 1248), (16, 0))),
        ((3000, 1000), Placement((1344, 768), (2304, 768), (0, 480))),
        ((512, 512), Placement((1024, 1024), (1024, 1024), (0, 0))),
        ((960, 1088), Placement((960, 1088), (960, 1088), (0, 0))),
    ],
)
def test_upscaling_covers_the_nearest_bucket(size: tuple[int, int], expected: Placement) -> None:
    assert place(*size, dataset()) == expected


def test_trimmed_share() -> None:
    placement = place(3000, 1000, dataset())
    assert placement.trimmed_share == pytest.approx(960 / 2304)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), Placement((512, 512), (512, 512), (0, 0))),
        ((700, 530), Placement((640, 512), (700, 530), (9, 30))),
        ((3000, 1000), Placement((1728, 576), (1728, 576), (0, 0))),
        ((1000, 1500), Placement((832, 1216), (832, 1248), (16, 0))),
    ],
)
def test_no_upscale_keeps_small_pictures(size: tuple[int, int], expected: Placement) -> None:
    assert place(*size, dataset(no_upscale=True)) == expected


@pytest.mark.parametrize("size", [(60, 60), (1000, 30), (30, 1000), (16000, 1000), (8, 8)])
@pytest.mark.parametrize("no_upscale", [False, True])
@pytest.mark.parametrize("resolution", [(1024, 1024), (128, 128)])
def test_no_side_is_too_small_for_a_bucket(
    size: tuple[int, int], no_upscale: bool, resolution: tuple[int, int]
) -> None:
    placement = place(*size, dataset(no_upscale, resolution=resolution, min_bucket_reso=64))
    assert min(placement.bucket) >= 64
    assert all(side % 64 == 0 for side in placement.bucket)
    assert all(r >= b for r, b in zip(placement.resized, placement.bucket, strict=True))


def test_without_buckets_everything_becomes_the_resolution() -> None:
    single = dataset(enable_bucket=False, resolution=(640, 512))
    assert place(1000, 1000, single) == Placement((640, 512), (640, 640), (64, 0))
    assert place(100, 10, single).bucket == (640, 512)


def test_resized_always_covers_the_bucket() -> None:
    for width in range(100, 1400, 37):
        for height in range(100, 1400, 41):
            placement = place(width, height, dataset())
            top, left = placement.crop
            assert top >= 0
            assert left >= 0
            assert placement.resized[0] >= placement.bucket[0] + left
            assert placement.resized[1] >= placement.bucket[1] + top
