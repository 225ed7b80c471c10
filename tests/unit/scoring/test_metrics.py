"""Formulas against numbers worked out by hand, and the pitfalls that they must show."""

import math

import numpy as np
import pytest

from optimizer.scoring import metrics
from optimizer.scoring.array import Array


def vectors(*rows: list[float]) -> Array:
    return np.array(rows, dtype=np.float32)


def at(*degrees: float) -> Array:
    """Unit vectors in the plane: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_clip_t_is_the_cosine_with_the_own_text() -> None:
    assert metrics.clip_t(at(0, 90, 0), at(60, 90, 180)) == pytest.approx([0.5, 1, -1], abs=1e-6)


def test_clip_t_with_shifted_prompts_is_lower() -> None:
    """Pictures judged by another picture's prompt, as the origin did: the order would reverse."""
    texts = at(0, 40, 80, 120)
    pictures = at(5, 35, 85, 110)
    assert metrics.clip_t(pictures, texts).mean() > 0.95
    assert metrics.clip_t(pictures, np.roll(texts, 1, axis=0)).mean() < 0.6


def test_clip_i_is_the_mean_over_all_pairs() -> None:
    expected = [(1 + cos(60)) / 2, (cos(90) + cos(30)) / 2]
    assert metrics.clip_i(at(0, 90), at(0, 60)) == pytest.approx(expected, abs=1e-6)


def test_ceiling_is_what_real_pictures_would_score() -> None:
    references = at(0, 60, 90)
    pairs = 2 * (cos(60) + cos(90) + cos(30))
    assert metrics.ceiling(references, references) == pytest.approx((3 + pairs) / 9, abs=1e-6)
    assert metrics.ceiling(at(10), at(0)) == pytest.approx(cos(10), abs=1e-6)


def test_pictures_that_repeat_the_references_do_not_exceed_the_ceiling() -> None:
    references = at(0, 60, 90)
    drawn = metrics.clip_i(at(1, 61, 91), references).mean()
    assert metrics.alike(references, references) < drawn <= metrics.ceiling(references, references)


def test_alike_leaves_out_a_picture_with_itself() -> None:
    references = at(0, 60, 90)
    pairs = 2 * (cos(60) + cos(90) + cos(30))
    assert metrics.alike(references, references) == pytest.approx(pairs / 6, abs=1e-6)
    assert metrics.alike(at(10), at(0)) == pytest.approx(cos(10), abs=1e-6)


def test_diversity_is_within_a_prompt() -> None:
    found = metrics.diversity(at(0, 60, 90, 10, 10, 10), per_prompt=3)
    first = [1 - (cos(60) + cos(90)) / 2, 1 - (cos(60) + cos(30)) / 2, 1 - (cos(90) + cos(30)) / 2]
    assert found == pytest.approx([*first, 0, 0, 0], abs=1e-6)


def test_diversity_alone_prefers_noise() -> None:
    """Pitfall: the widest spread is that of a model that learnt nothing."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    subject = vectors(*[[1.0] + [0.0] * 15] * 8) * 0.95 + 0.05 * noise
    subject /= np.linalg.norm(subject, axis=1, keepdims=True)
    assert metrics.diversity(noise, 4).mean() > 0.7 > 0.1 > metrics.diversity(subject, 4).mean()


def test_clip_i_alone_forgives_leaking() -> None:
    """Pitfall: with and without the trigger alike, which only the trigger-free pictures show."""
    references, base = at(0), at(80)
    learnt, plain_of_leaky, plain_of_clean = at(10), at(10), at(80)
    assert metrics.clip_i(learnt, references) > metrics.clip_i(base, references)
    leak = metrics.clip_i(plain_of_leaky, references)
    assert leak == pytest.approx(metrics.clip_i(learnt, references))
    assert metrics.clip_i(plain_of_clean, references) < leak / 2


def test_copies_are_nearer_to_training_than_new_pictures_are() -> None:
    training, held_out = at(0, 40), at(15, 25)
    # Held out: 15 has 15 to the nearest training picture and 10 to the other held-out one.
    allowed = cos(15) - cos(10)
    assert allowed < 0
    flags = metrics.copy_rate(at(0, 38, 20, 17), training, held_out)
    assert flags.tolist() == [1, 1, 0, 0]


def test_many_training_pictures_are_no_sign_of_copying() -> None:
    """With thirty of them around, any good picture is near one: so are real new ones."""
    training, held_out = at(*range(0, 90, 3)), at(10, 40, 70)
    assert metrics.copy_rate(at(25, 55, 85), training, held_out).tolist() == [0, 0, 0]


def test_copies_with_one_held_out_picture() -> None:
    assert metrics.copy_rate(at(0, 20), at(0), at(30)).tolist() == [1, 0]


def test_cmmd_by_hand() -> None:
    """Two points 60 degrees apart against two at 90: squared distances are 2 - 2 cos."""
    a, b = np.repeat(at(0), 64, axis=0), at(60, 60)
    between = math.exp(-(2 - 2 * cos(60)) / 2 / 100)
    found = metrics.cmmd(a, b)
    assert found is not None
    assert found[0] == pytest.approx(1000 * (1 + 1 - 2 * between), rel=1e-6)
    assert found[1] == pytest.approx(0, abs=1e-9)


def test_cmmd_is_unbiased() -> None:
    """Two sets of one distribution: zero on average; the paper's own form is always above."""
    rng = np.random.default_rng(0)

    def draws(n: int) -> Array:
        x = rng.normal(size=(n, 8)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    values = np.array(
        [found[0] for _ in range(100) if (found := metrics.cmmd(draws(64), draws(64)))]
    )
    assert len(values) == 100
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(100)
    diagonal = 2 * 1000 / 64 * (1 - math.exp(-2 / 200))
    assert values.std() < diagonal, "what counting each picture with itself would add"


def test_cmmds_error_covers_other_pictures() -> None:
    rng = np.random.default_rng(1)

    def draws(n: int, shift: float) -> Array:
        x = (rng.normal(size=(n, 8)) + shift).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    references = draws(100, 0)
    found = [metrics.cmmd(draws(64, 0.5), references) for _ in range(150)]
    values, errors = np.array([f for f in found if f]).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)


def test_cmmd_only_from_64_pictures_up() -> None:
    assert metrics.cmmd(at(*range(63)), at(0, 1)) is None
    assert metrics.cmmd(at(*range(64)), at(0)) is None
    assert metrics.cmmd(at(*range(64)), at(0, 1)) is not None
