"""Captions cut into windows as sd-scripts cuts them."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from optimizer.demo.tokenizer import write_tokenizer
from optimizer.models.text import count_tokens, join_windows, token_windows


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_one_window_is_the_tokenizers_own_encoding(tokenizer: CLIPTokenizer) -> None:
    caption = "a red star on a blue background"
    ids = token_windows(tokenizer, [caption], 75)
    plain = tokenizer([caption], padding="max_length", return_tensors="pt").input_ids
    assert torch.equal(ids[:, 0], plain)


def test_long_captions_fill_windows_one_after_another(tokenizer: CLIPTokenizer) -> None:
    caption = " ".join(["red"] * 40)
    ids = token_windows(tokenizer, [caption], 225)
    red = tokenizer("red", add_special_tokens=False).input_ids[0]
    size, start, end = tokenizer.model_max_length, tokenizer.bos_token_id, tokenizer.eos_token_id
    assert ids.shape == (1, 3, size)
    assert ids[0, :, 0].tolist() == [start] * 3
    assert (ids[0] == red).sum(dim=1).tolist() == [30, 10, 0]
    assert ids[0, :, -1].tolist() == [end] * 3


def test_padding_that_is_not_the_end_token_is_mended(
    tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    """SDXL's second tokenizer pads with "!": a full window must end, an empty one begin, in EOS."""
    tokenizer.save_pretrained(tmp_path)
    other = CLIPTokenizer.from_pretrained(tmp_path, pad_token="!")
    ids = token_windows(other, [" ".join(["red"] * 40)], 225)[0]
    end = other.eos_token_id
    assert ids[0, -1] == end
    assert ids[2, 1] == end


def test_joined_windows_lose_only_their_inner_marks() -> None:
    states = torch.arange(2 * 3 * 5, dtype=torch.float32).view(6, 5, 1)
    joined = join_windows(states, batch=2)
    assert joined.shape == (2, 3 * 3 + 2, 1)
    assert joined[0, :, 0].tolist() == [0, 1, 2, 3, 6, 7, 8, 11, 12, 13, 14]


def test_tokens_are_counted_without_marks(tokenizer: CLIPTokenizer) -> None:
    assert count_tokens(tokenizer, "red star") == 2
