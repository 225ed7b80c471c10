"""The dataset check counts, and names what a user should look at."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from optimizer.config.dataset import DatasetConfig
from optimizer.data.check import BucketRow, Spread, check
from optimizer.data.looks import near_duplicates

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


def test_a_good_dataset(draw: Draw, configure: Configure) -> None:
    draw("a.png", (64, 64), "Dog, sitting on grass")
    draw("b.png", (100, 60), "dog, running")
    report = check(configure(num_repeats=2), count_tokens=len, max_token_length=15)
    assert (report.pictures, report.captions, report.problems) == (2, 2, ())
    assert report.widths == Spread(64, 82, 100)
    assert report.heights == Spread(60, 62, 64)
    small, wide = report.buckets
    assert small == BucketRow(0, 64, 64, 1, 2, 0.0)
    assert (wide.width, wide.height, wide.with_repeats) == (80, 48, 2)
    assert report.most_common_tags[0] == ("dog", 2)
    assert report.caption_words == Spread(2, 3, 4)
    assert report.caption_tags == Spread(2, 2, 2)
    assert report.caption_tokens == Spread(12, 16.5, 21)
    assert [Path(p).name for p in report.captions_too_long] == ["a.png"]
    assert json.loads(json.dumps(asdict(report)))["pictures"] == 2


def test_what_is_wrong_is_listed_not_raised(draw: Draw, configure: Configure) -> None:
    broken = draw("broken.png")
    broken.write_bytes(broken.read_bytes()[:200])
    bare = draw("bare.png", caption=None)
    orphan = draw("gone.png")
    orphan.unlink()
    report = check(configure())
    assert (report.pictures, report.captions) == (2, 2)
    assert report.pictures_without_caption == (str(bare),)
    assert report.captions_without_picture == (str(orphan.with_suffix(".txt")),)
    assert len(report.problems) == 2


def test_damage_in_the_middle_is_found(draw: Draw, configure: Configure) -> None:
    path = draw("a.png")
    data = path.read_bytes()
    path.write_bytes(data[:500] + bytes(200) + data[700:])
    (problem,) = check(configure()).problems
    assert problem.startswith(f"{path}: is damaged")


def test_rotated_transparent_and_upscaled(draw: Draw, configure: Configure) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = draw("a.jpg", (80, 64), exif=exif)
    clear = draw("b.png", image=Image.new("RGBA", (64, 64)))
    small = draw("c.png", (30, 30))
    report = check(configure())
    assert report.rotated_by_exif == (str(rotated),)
    assert report.with_alpha == (str(clear),)
    assert report.upscaled == (str(small),)


def test_near_duplicates(draw: Draw, configure: Configure) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    blotches = [Image.fromarray(level).resize((64, 64)) for level in levels]
    first, _, _ = (draw(f"{i}.png", image=image) for i, image in enumerate(blotches))
    again = draw("again.jpg", image=blotches[0].resize((128, 128)), quality=90)
    assert check(configure()).near_duplicates == ((str(first), str(again)),)


def test_of_many_alike_each_is_named_once() -> None:
    """All pairs of 10,000 frames of one scene would be fifty million."""
    base = 0x5555_3333_0F0F_1234_89AB_CDEF_7777_2222
    hashes = {Path(f"{number:05d}.png"): base for number in range(3000)}
    hashes[Path("near.png")] = base ^ 0b111
    hashes[Path("far.png")] = base ^ 0b1111
    hashes[Path("between.png")] = base ^ 0b1 << 127
    pairs = near_duplicates(hashes)
    assert len(pairs) == len(hashes) - 1
    assert {first for first, _ in pairs if first != "00000.png"} == {"near.png"}
    assert {other for first, other in pairs if first == "near.png"} == {"far.png"}
    assert {"near.png", "between.png", "02999.png"} < {other for _, other in pairs}


def test_near_pairs_are_found_wherever_they_differ() -> None:
    value = 0x0123_4567_89AB_CDEF_FEDC_BA98_7654_3210
    for flipped in ([0, 1, 2], [0, 40, 80], [31, 32, 127], [64, 95, 96]):
        other = value ^ sum(1 << bit for bit in flipped)
        found = near_duplicates({Path("a"): value, Path("b"): other})
        assert found == (("a", "b"),)


def test_regularisation_pictures_and_shared_folders_count_once(
    draw: Draw, configure: Configure, tmp_path: Path
) -> None:
    draw("a.png")
    draw("../reg/r.png", caption=None)
    reg = {"image_dir": tmp_path / "reg", "is_reg": True, "class_tokens": "a dog"}
    config = configure({}, reg)
    twice = DatasetConfig(datasets=(*config.datasets, *configure().datasets))
    report = check(twice)
    assert (report.pictures, report.regularisation_pictures, report.captions) == (1, 1, 1)
    assert sum(row.pictures for row in report.buckets) == 3
    assert report.problems == ()
