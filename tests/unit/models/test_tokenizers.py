"""Tokens as a base model counts them, without loading the model."""

from pathlib import Path

import pytest

from optimizer.config.study import ModelConfig
from optimizer.demo import layout
from optimizer.errors import ModelError
from optimizer.models.tokenizers import TokenCounter

WEIGHTS = Path(layout.__file__).parent / "weights"


def config(reference: object, family: str = "sdxl", **more: object) -> ModelConfig:
    data = {"family": family, "pretrained_model_name_or_path": str(reference)} | more
    return ModelConfig.model_validate(data)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_tokens_of_a_caption_without_its_marks(family: str) -> None:
    counter = TokenCounter(config(WEIGHTS / family, family))
    assert len(counter.tokenizers) == (2 if family == "sdxl" else 1)
    assert counter("") == 0
    short, long = counter("a mivo monster"), counter("a mivo monster on a white background")
    assert 3 <= short < long


def test_limit_is_that_of_the_windows() -> None:
    counter = TokenCounter(config(WEIGHTS / "sdxl"))
    window = counter.tokenizers[0].model_max_length - 2
    assert [counter.limit(n) for n in (75, 150, 225)] == [window, 2 * window, 3 * window]


def test_single_file_needs_a_folder_of_configs(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelError, match=r"single file without tokenizers; set model\.config"):
        TokenCounter(config(file))
    assert TokenCounter(config(file, config=str(WEIGHTS / "sdxl")))("monster") >= 1


def test_folder_without_tokenizers_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the tokenizer of .* is neither here nor on a hub"):
        TokenCounter(config(tmp_path))
