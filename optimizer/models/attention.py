"""Which attention the UNet uses: decided by what the device can do, not by what is installed."""

from typing import Any, Literal

import torch

from optimizer.errors import ModelError

Attention = Literal["auto", "sdpa", "xformers"]

AMPERE = (8, 0)
"""From this CUDA capability on, torch's own SDPA has flash kernels and xformers gains nothing."""


def choose_attention(wanted: Attention, device: torch.device) -> Literal["sdpa", "xformers"]:
    """The attention to use on this device; ModelError when xformers is wanted but cannot run."""
    if wanted == "sdpa":
        return "sdpa"
    if wanted == "auto" and not _is_before_ampere(device):
        return "sdpa"
    problem = xformers_problem(device)
    if problem is None:
        return "xformers"
    if wanted == "xformers":
        raise ModelError(
            f'attention = "xformers" cannot be used on {device}: {problem}; '
            'set attention = "sdpa" or "auto"'
        )
    return "sdpa"


def _is_before_ampere(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE


def xformers_problem(device: torch.device) -> str | None:
    """Why xformers' attention does not run here, or None: found out by running it once."""
    try:
        from xformers.ops import memory_efficient_attention
    except ModuleNotFoundError:
        return "xformers is not installed"
    except (ImportError, OSError, RuntimeError) as error:
        # Built for another torch or CUDA, it fails while it loads its libraries.
        return f"xformers is installed but cannot be imported ({_first_line(error)})"
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    query = torch.zeros(1, 8, 1, 32, device=device, dtype=dtype)
    try:
        memory_efficient_attention(query, query, query)
    except (NotImplementedError, RuntimeError) as error:
        # xformers lists the inputs on the lines that follow.
        return _first_line(error).removesuffix(" with inputs:")
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def apply_attention(pipeline: Any, attention: Literal["sdpa", "xformers"]) -> None:
    """SDPA is diffusers' own default on torch 2; xformers replaces the UNet's processors."""
    if attention == "xformers":
        pipeline.unet.enable_xformers_memory_efficient_attention()
