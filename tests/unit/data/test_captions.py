"""Captions are shuffled, dropped and grown as sd-scripts does it."""

from random import Random
from typing import Any

import pytest

from optimizer.config.dataset import Subset
from optimizer.data.captions import Progress, final_caption


def caption(
    *lines: str, seed: int = 0, epoch: int = 1, step: int = 0, steps: int = 0, **keys: Any
) -> str:
    subset = Subset.model_validate({"image_dir": "x"} | keys)
    return final_caption(lines, subset, Progress(epoch, step, steps), Random(seed))


def captions(text: str, **keys: Any) -> set[str]:
    return {caption(text, seed=seed, **keys) for seed in range(50)}


def test_an_untouched_caption_stays_as_written() -> None:
    assert caption("a,b ,  c") == "a,b ,  c"
    assert caption("a", "b") == "a"


def test_shuffling_keeps_the_first_tags() -> None:
    found = captions("a, b, c, d", shuffle_caption=True, keep_tokens=2)
    assert found == {"a, b, c, d", "a, b, d, c"}


def test_separators_keep_start_and_end() -> None:
    found = captions("a, b ||| c, d ||| e", shuffle_caption=True, keep_tokens_separator="|||")
    assert found == {"a, b, c, d, e", "a, b, d, c, e"}
    assert caption("a ||| b", keep_tokens_separator="|||") == "a, b"


def test_glued_tags_move_together() -> None:
    found = captions("a;;b, c", shuffle_caption=True, secondary_separator=";;")
    assert found == {"a,b, c", "c, a,b"}


def test_own_separator() -> None:
    assert captions("a|b", shuffle_caption=True, caption_separator="|") == {"a, b", "b, a"}


def test_prefix_and_suffix() -> None:
    assert caption("a", caption_prefix="p,", caption_suffix="s") == "p, a s"
    assert caption("a", caption_prefix="p", caption_dropout_rate=1) == ""


def test_wildcards() -> None:
    assert captions("{red|blue} {{dog}}", enable_wildcard=True) == {"red {dog}", "blue {dog}"}
    assert caption("{red|blue}") == "{red|blue}"
    both = {caption("a", "b", seed=seed, enable_wildcard=True) for seed in range(20)}
    assert both == {"a", "b"}


def test_dropout_by_rate() -> None:
    dropped = [caption("a", seed=seed, caption_dropout_rate=0.3) for seed in range(1000)]
    assert 250 < dropped.count("") < 350


def test_dropout_of_whole_epochs() -> None:
    found = [caption("a", epoch=epoch, caption_dropout_every_n_epochs=3) for epoch in range(1, 7)]
    assert found == ["a", "a", "", "a", "a", ""]


def test_tag_dropout_spares_kept_tags() -> None:
    found = captions("a, b, c", caption_tag_dropout_rate=0.5, keep_tokens=1)
    assert found == {"a", "a, b", "a, c", "a, b, c"}
    assert captions("a, b", caption_tag_dropout_rate=1) == {""}


@pytest.mark.parametrize(("step", "tags"), [(0, 1), (25, 2), (50, 3), (99, 4), (100, 5)])
def test_tags_grow_with_steps(step: int, tags: int) -> None:
    text = "a, b, c, d, e"
    expected = ", ".join("abcde"[:tags])
    assert caption(text, step=step, token_warmup_step=100) == expected
    assert caption(text, step=step, steps=200, token_warmup_step=0.5) == expected


def test_growth_starts_at_its_minimum() -> None:
    assert caption("a, b, c, d", step=0, token_warmup_step=10, token_warmup_min=3) == "a, b, c"
