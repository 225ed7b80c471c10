"""Captions longer than the text encoder's window: cut in windows, encoded, joined (sd-scripts)."""

from typing import Any

import torch
from torch import Tensor

WINDOW_TOKENS = 75
"""What `max_token_length` counts in: one window of the real models' tokenizers."""


def token_windows(tokenizer: Any, captions: list[str], max_token_length: int) -> Tensor:
    """Token ids (batch, windows, model_max_length), each window with its own start and end token.

    The window is the tokenizer's own: 75 tokens and two marks for the real models. As sd-scripts
    does, a window that is full ends in the end token, and an empty one begins with it.
    """
    size = tokenizer.model_max_length
    count = max_token_length // WINDOW_TOKENS
    ids = tokenizer(
        captions,
        truncation=True,
        padding="max_length",
        max_length=count * (size - 2) + 2,
        return_tensors="pt",
    ).input_ids
    inner = ids[:, 1:-1].reshape(len(captions), count, size - 2)
    first = ids[:, :1, None].expand(-1, count, 1)
    last = ids[:, -1:, None].expand(-1, count, 1)
    windows = torch.cat([first, inner, last], dim=2)
    return windows if count == 1 else _mend_ends(windows, tokenizer)


def _mend_ends(windows: Tensor, tokenizer: Any) -> Tensor:
    """Only matters where padding is not the end token (SDXL's second tokenizer)."""
    end, padding = tokenizer.eos_token_id, tokenizer.pad_token_id
    full = (windows[..., -2] != end) & (windows[..., -2] != padding)
    windows[..., -1] = torch.where(full, end, windows[..., -1])
    windows[..., 1] = torch.where(windows[..., 1] == padding, end, windows[..., 1])
    return windows


def join_windows(states: Tensor, batch: int) -> Tensor:
    """Hidden states (batch * windows, size, c) to (batch, windows * (size - 2) + 2, c)."""
    size, channels = states.shape[1:]
    states = states.view(batch, -1, size, channels)
    inner = states[:, :, 1:-1].reshape(batch, -1, channels)
    return torch.cat([states[:, 0, :1], inner, states[:, -1, -1:]], dim=1)


def count_tokens(tokenizer: Any, caption: str) -> int:
    """Tokens of a caption, start and end marks not counted."""
    return len(tokenizer(caption, add_special_tokens=False, verbose=False).input_ids)
