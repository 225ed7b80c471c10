"""Scanning finds pictures and captions, and names every bad file at once."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from optimizer.config.dataset import DatasetConfig
from optimizer.data.records import scan
from optimizer.errors import DatasetError

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


def problems_of(config: DatasetConfig) -> str:
    with pytest.raises(DatasetError) as caught:
        scan(config)
    return "\n".join(caught.value.problems)


def test_records_in_order_of_names(draw: Draw, configure: Configure) -> None:
    draw("b.png", (80, 40), "second")
    draw("a.jpg", (30, 50), "\n  first \nmore\n")
    (first, second) = scan(configure())
    assert (first.path.name, first.size, first.captions) == ("a.jpg", (50, 30), ("first",))
    assert (second.path.name, second.size, second.is_reg) == ("b.png", (40, 80), False)
    assert scan(configure(enable_wildcard=True))[0].captions == ("first", "more")


@pytest.mark.parametrize("place", ["captions", "images/captions", "images"])
def test_places_of_captions(place: str, draw: Draw, configure: Configure, tmp_path: Path) -> None:
    draw("a.png", caption=None)
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "a.txt").write_text("\ufeffhere", encoding="utf-8")
    assert scan(configure())[0].captions == ("here",)


def test_class_tokens_stand_in(draw: Draw, configure: Configure) -> None:
    draw("a.png", caption=None)
    draw("b.png", caption="own")
    records = scan(configure(class_tokens="a dog"))
    assert [record.captions for record in records] == [("a dog",), ("own",)]


def test_missing_captions_name_the_likely_cause(draw: Draw, configure: Configure) -> None:
    draw("a.png", caption=None)
    b = draw("b.png")
    told = problems_of(configure(caption_extension=".caption"))
    assert "a.png: has no caption a.caption; write one or set class_tokens" in told
    assert (
        f'b.caption, but there is {b.with_suffix(".txt")}; set caption_extension = ".txt"' in told
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_size(
    orientation: int, draw: Draw, configure: Configure
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw("a.jpg", (60, 40), exif=exif)
    assert scan(configure())[0].size == ((60, 40) if orientation >= 5 else (40, 60))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_truncated_pictures(name: str, kept: float, draw: Draw, configure: Configure) -> None:
    path = draw(name)
    draw("good.png")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    told = problems_of(configure())
    assert told.startswith(f"{path}: ")
    assert ("is empty (0 bytes)" if kept == 0 else "is damaged or cut off") in told


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp"])
def test_trailing_bytes_are_harmless(name: str, draw: Draw, configure: Configure) -> None:
    path = draw(name)
    path.write_bytes(path.read_bytes() + b"\0" * 200)
    assert len(scan(configure())) == 1


def test_bad_files_are_all_named(draw: Draw, configure: Configure, tmp_path: Path) -> None:
    draw("text.png").write_bytes(b"no picture at all")
    draw("latin.png").with_suffix(".txt").write_bytes("café".encode("latin-1"))
    draw("blank.png", caption=" \n\n")
    draw("tiny.png", (7, 30))
    draw("long.png", (2000, 10))
    draw("same.png")
    draw("same.jpg")
    (tmp_path / "images/loop.png").symlink_to(tmp_path / "images/loop.png")
    (tmp_path / "images/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "images/folder.png").mkdir()
    told = problems_of(configure())
    for expected in [
        "text.png: is not a picture that can be read",
        "latin.txt: is not UTF-8 (byte 3)",
        "blank.txt: is empty",
        "tiny.png: 7 x 30 pixels is too small",
        "long.png: 2000 x 10 pixels is too long and thin",
        "same.png: share one caption",
        "loop.png: is a link that leads nowhere (Too many levels of symbolic links)",
        "gone.jpg: is a link that leads nowhere",
        "folder.png: is a folder with the name of a picture",
    ]:
        assert expected in told
    assert len(told.splitlines()) == 9


def test_folders_without_pictures(configure: Configure, draw: Draw, tmp_path: Path) -> None:
    assert "images: cannot be listed (No such file or directory)" in problems_of(configure())
    (tmp_path / "images").mkdir()
    assert "images: holds no pictures" in problems_of(configure())
    draw("10_dog/a.png")
    assert "10_dog, set image_dir to that" in problems_of(configure())
    (tmp_path / "round").symlink_to(tmp_path / "round")
    loop = configure({"image_dir": tmp_path / "round"})
    assert "round: cannot be listed (Too many levels of symbolic links)" in problems_of(loop)


def test_many_problems_of_a_folder_are_shortened(draw: Draw, configure: Configure) -> None:
    for number in range(30):
        draw(f"{number}.png", (8, 8), caption=None)
    told = problems_of(configure()).splitlines()
    assert len(told) == 21
    assert told[-1].endswith("images: and 10 more problems like these")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_picture(draw: Draw, configure: Configure) -> None:
    draw("a.png").chmod(0)
    assert "may not be read" in problems_of(configure())


def test_regularisation_alone_is_nothing_to_train_on(
    draw: Draw, configure: Configure, tmp_path: Path
) -> None:
    draw("a.png")
    folders: list[dict[str, Any]] = [{"is_reg": True}]
    assert "has no picture to train on" in problems_of(configure(*folders))
