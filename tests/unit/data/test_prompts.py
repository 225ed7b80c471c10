"""Each caption is encoded once, and again only by other encoders."""

from pathlib import Path

import torch
from torch import Tensor

from optimizer.data.cache import TensorStore
from optimizer.data.prompts import EmbeddingSource


def encode(captions: list[str]) -> dict[str, Tensor]:
    lengths = torch.tensor([float(len(caption)) for caption in captions])
    return {"prompt_embeds": lengths[:, None, None].expand(-1, 2, 3), "pooled": lengths[:, None]}


def source(tmp_path: Path, identity: str = "clip-75") -> EmbeddingSource:
    return EmbeddingSource(TensorStore(tmp_path), encode, identity)


def test_order_and_shapes(tmp_path: Path) -> None:
    one = source(tmp_path)
    loaded = one.load(["aaa", "", "aaa", "bb"])
    assert loaded["prompt_embeds"].shape == (4, 2, 3)
    assert loaded["pooled"].flatten().tolist() == [3, 0, 3, 2]
    assert one.encoded == 3


def test_a_second_run_encodes_only_what_is_new(tmp_path: Path) -> None:
    source(tmp_path).load(["a", "b"])
    again = source(tmp_path)
    again.load(["b", "c", "a"])
    assert again.encoded == 1
    other = source(tmp_path, "clip-225")
    other.load(["a"])
    assert other.encoded == 1
