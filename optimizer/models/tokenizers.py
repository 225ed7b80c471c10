"""A base model's tokenizers by themselves: enough to count tokens, and quick to load."""

from pathlib import Path
from typing import Any

from optimizer.config.study import ModelConfig
from optimizer.errors import ModelError
from optimizer.models.model_files import SINGLE_FILE_SUFFIXES
from optimizer.models.text import WINDOW_TOKENS, count_tokens

_SUBFOLDERS = {"sd15": ("tokenizer",), "sdxl": ("tokenizer", "tokenizer_2")}


class TokenCounter:
    """Counts tokens as the base model of a study does; of two tokenizers the longer count.

    Raises:
        ModelError: the tokenizers are neither here nor on the hub.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.tokenizers = [_load(config, name) for name in _SUBFOLDERS[config.family]]

    def __call__(self, caption: str) -> int:
        return max(count_tokens(tokenizer, caption) for tokenizer in self.tokenizers)

    def limit(self, max_token_length: int) -> int:
        """Tokens that are not cut off."""
        window = min(tokenizer.model_max_length for tokenizer in self.tokenizers) - 2
        return int(max_token_length // WINDOW_TOKENS * window)


def _load(config: ModelConfig, subfolder: str) -> Any:
    from huggingface_hub import hf_hub_download
    from transformers import CLIPTokenizerFast

    reference = config.pretrained_model_name_or_path
    if Path(reference).suffix in SINGLE_FILE_SUFFIXES:
        if config.config is None:
            raise ModelError(f"{reference} is a single file without tokenizers; set model.config")
        reference = config.config
    problem = f"the {subfolder} of {reference} is neither here nor on a hub that can be reached"
    try:
        if not Path(reference).is_absolute():
            # One file first: out of reach, each would be asked for again and again.
            hf_hub_download(reference, f"{subfolder}/tokenizer_config.json")
        tokenizer = CLIPTokenizerFast.from_pretrained(reference, subfolder=subfolder)
    except (OSError, ValueError) as error:
        raise ModelError(problem) from error
    # Where transformers 5 finds no files it makes a tokenizer of nothing but special tokens.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ModelError(problem)
    return tokenizer
