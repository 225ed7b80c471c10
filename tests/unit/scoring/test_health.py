"""Pictures that nobody should score."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from PIL import Image

from optimizer.scoring.health import Health, health_of

Paint = Callable[..., Image.Image]


def noise(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64))


def test_ordinary_pictures_are_fine() -> None:
    health = health_of([noise(seed) for seed in range(6)])
    assert health == Health(pictures=6, black=0, flat=0, identical=0)
    assert health.ok
    assert health.sentence() == "6 usable pictures"


def test_black_and_flat_are_told_apart() -> None:
    black, blue = Image.new("RGB", (64, 64), (2, 0, 3)), Image.new("RGB", (64, 64), "blue")
    health = health_of([black, black, blue, noise(0), noise(1)])
    assert (health.black, health.flat, health.identical) == (2, 1, 0)
    assert not health.ok
    assert health.sentence().startswith("of 5 pictures 2 are black, 1 of one colour and 0 the same")


def test_a_night_scene_is_not_black(paint: Paint) -> None:
    assert health_of([paint("black"), noise(0)]).black == 0


def test_nearly_identical_pictures_count_once_less() -> None:
    """A collapsed LoRA draws one picture for all prompts; sampling noise still differs."""
    rng = np.random.default_rng(0)
    base = np.asarray(noise(0), dtype=np.int16)
    same = [
        Image.fromarray((base + rng.integers(-1, 2, base.shape)).clip(0, 255).astype(np.uint8))
        for _ in range(4)
    ]
    assert health_of([*same, noise(1)]).identical == 3
    assert not health_of([*same, noise(1)]).ok


def test_a_few_bad_pictures_are_tolerated() -> None:
    black = Image.new("RGB", (64, 64))
    assert health_of([black, noise(0), noise(1)]).ok
    assert not health_of([black, noise(0)]).ok


def test_json_round_trip() -> None:
    health = Health(9, 1, 2, 3)
    assert Health.from_dict(asdict(health)) == health
