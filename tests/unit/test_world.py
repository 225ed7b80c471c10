"""The drawn world: the same from the same seed, captions that tell the truth, pixels that agree."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from optimizer.demo import layout
from optimizer.demo.world import (
    CLASS_WORD,
    COLOURS,
    SHAPES,
    SUBJECT,
    TRAIN_BACKGROUNDS,
    TRIGGER,
    UNSEEN_BACKGROUNDS,
    Drawing,
    background_of,
    base_drawing,
    draw_monster,
    draw_shape,
    judge_drawing,
    parts,
    shows_subject,
    subject_drawing,
    subject_drawings,
)

Source = Callable[[Random, int], Drawing]
SOURCES = pytest.mark.parametrize("source", [base_drawing, judge_drawing])
SIZES = pytest.mark.parametrize("size", [32, 64])


def many(source: Source, count: int, size: int = 8) -> list[Drawing]:
    rng = Random(5)
    return [source(rng, size) for _ in range(count)]


@SOURCES
def test_the_same_seed_draws_the_same_pictures(source: Source) -> None:
    once, again = many(source, 20, 32), many(source, 20, 32)
    assert [d.image.tobytes() for d in once] == [d.image.tobytes() for d in again]
    assert [(d.caption, d.attributes) for d in once] == [(d.caption, d.attributes) for d in again]


def test_another_seed_draws_other_subject_pictures() -> None:
    one, same, other = (subject_drawings(4, 64, seed) for seed in (1, 1, 2))
    assert [d.image.tobytes() for d in one] == [d.image.tobytes() for d in same]
    assert all(a.image.tobytes() != b.image.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("size", [8, 32, 64, 100])
def test_pictures_come_at_the_size_asked_for(size: int) -> None:
    drawn = [*many(base_drawing, 4, size), *subject_drawings(2, size, 0)]
    assert {d.image.size for d in drawn} == {(size, size)}
    assert {d.image.mode for d in drawn} == {"RGB"}


@SOURCES
def test_pretraining_never_meets_the_subject(source: Source) -> None:
    for drawing in many(source, 5000):
        found = drawing.attributes
        assert (found.get("body"), found.get("belly")) != (SUBJECT["body"], SUBJECT["belly"])
        assert TRIGGER not in drawing.caption.split()


@SOURCES
def test_captions_name_only_what_is_there(source: Source) -> None:
    for drawing in many(source, 500):
        found, words = drawing.attributes, set(drawing.caption.split())
        named = words & set(COLOURS)
        assert named <= {str(value) for value in found.values()}
        assert f"on a {found['background']} background" in drawing.caption
        assert str(found.get("shape", CLASS_WORD)) in words
        if "horn" in drawing.caption:
            assert parts(found) in drawing.caption


def test_a_third_of_the_base_captions_hold_a_made_up_word() -> None:
    known = {word for d in many(judge_drawing, 3000) for word in d.caption.split()}
    odd = [bool(set(d.caption.split()) - known) for d in many(base_drawing, 2000)]
    assert 0.25 < sum(odd) / len(odd) < 0.42


@pytest.mark.parametrize(
    ("horns", "eyes", "words"),
    [
        (0, 1, "no horns and one eye"),
        (1, 2, "one horn and two eyes"),
        (2, 1, "two horns and one eye"),
    ],
)
def test_parts_in_words(horns: int, eyes: int, words: str) -> None:
    assert parts({"horns": horns, "eyes": eyes}) == words


def test_subject_captions_hold_trigger_and_background() -> None:
    drawn = subject_drawings(8, 32, 0)
    assert drawn[0].caption == f"a {TRIGGER} {CLASS_WORD} on a {TRAIN_BACKGROUNDS[0]} background"
    assert {d.attributes["background"] for d in drawn} == set(TRAIN_BACKGROUNDS)
    assert not set(TRAIN_BACKGROUNDS) & set(UNSEEN_BACKGROUNDS)


@SIZES
@SOURCES
def test_backgrounds_are_read_from_pixels(source: Source, size: int) -> None:
    drawn = many(source, 100, size)
    assert [background_of(d.image) for d in drawn] == [d.attributes["background"] for d in drawn]


@SIZES
@pytest.mark.parametrize("background", layout.REFERENCE_BACKGROUNDS)
def test_the_subject_is_seen_on_every_background_in_use(background: str, size: int) -> None:
    rng = Random(9)
    assert all(shows_subject(subject_drawing(rng, size, background).image) for _ in range(20))


@SIZES
@SOURCES
def test_others_are_not_taken_for_the_subject(source: Source, size: int) -> None:
    # 1 in 32,000 was measured: an orange body whose edges blend to yellow, with a purple belly.
    taken = [shows_subject(d.image) for d in many(source, 500, size)]
    assert sum(taken) <= 1


@pytest.mark.parametrize("body", ["purple", "yellow"])
@pytest.mark.parametrize("background", TRAIN_BACKGROUNDS)
def test_near_relatives_are_not_the_subject(body: str, background: str) -> None:
    rng, belly = Random(2), "purple" if body == "yellow" else "red"
    image = draw_monster(rng, 64, body=body, belly=belly, horns=2, eyes=1, background=background)
    assert not shows_subject(image)


@pytest.mark.parametrize("background", ["purple", "yellow"])
def test_the_subjects_own_colours_as_background_prove_nothing(background: str) -> None:
    rng = Random(4)
    assert not shows_subject(draw_shape(rng, 64, "yellow", "ring", background))
    assert not shows_subject(draw_shape(rng, 64, "purple", "ring", background))


def test_noise_is_not_taken_for_the_subject() -> None:
    rng = np.random.default_rng(1)
    palette = np.array([COLOURS[c] for c in ("purple", "yellow", "orange", "blue")], dtype=np.uint8)
    # Twice as much purple as anything else: by its shares alone this would be the subject.
    blocks = palette[rng.choice(4, size=(8, 8), p=(0.4, 0.2, 0.2, 0.2))]
    for _ in range(20):
        noise = Image.fromarray(rng.permutation(blocks.reshape(-1, 3)).reshape(8, 8, 3))
        assert not shows_subject(noise.resize((32, 32), Image.Resampling.BICUBIC))


def test_every_shape_looks_different() -> None:
    pictures = {draw_shape(Random(1), 32, "red", s, "blue").tobytes() for s in SHAPES}
    assert len(pictures) == len(SHAPES)


def test_weights_tell_nothing_of_the_machine_that_made_them() -> None:
    for path in (Path(layout.__file__).parent / "weights").rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert "_name_or_path" not in text, path
        assert "://" not in text, path
