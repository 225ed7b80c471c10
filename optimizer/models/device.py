"""The device that models run on, and being alone on it."""

import gc
import logging
import platform
from contextlib import AbstractContextManager

import torch

from optimizer.cards import card_held
from optimizer.errors import CardError

logger = logging.getLogger(__name__)

GIB = 2**30
WSL_MARGIN_GIB = 0.5
"""For what the desktop will want besides."""


def best_device() -> torch.device:
    """The first CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The graphics card, or the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def limit_memory(device: torch.device, limit: float | None) -> None:
    """Have torch say that memory is out where the driver would spill into host memory.

    Args:
        limit: GiB; what is free now, less a margin, under WSL2 if None, else none.

    Raises:
        CardError: the card has less than that.
    """
    if device.type != "cuda":
        if limit is not None:
            logger.warning("study.memory_limit has no effect on the CPU")
        return
    free, total = torch.cuda.mem_get_info(device)
    if limit is not None and limit * GIB > total:
        raise CardError(
            f"study.memory_limit is {limit:g} GiB, but {device_name(device)} has {total / GIB:.1f}"
        )
    if limit is None and is_wsl():
        limit = free / GIB - WSL_MARGIN_GIB
    if limit is not None:
        torch.cuda.set_per_process_memory_fraction(limit * GIB / total, device)
        logger.info("at most %.1f of %.1f GiB of the card are taken", limit, total / GIB)


def free_unused() -> None:
    """Give back what no live tensor holds, also where Python has not yet noticed."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_held(device: torch.device) -> int:
    """Bytes of the card that live tensors hold, once all that can be freed is; 0 on the CPU."""
    if device.type != "cuda":
        return 0
    free_unused()
    return int(torch.cuda.memory_allocated(device))


def is_wsl() -> bool:
    """Whether this is Linux on Windows, whose driver spills."""
    return "microsoft" in platform.release().lower()


def device_held(what: str, device: torch.device | None = None) -> AbstractContextManager[None]:
    """Be the only training or scoring on a device, the best there is when None; see `card_held`."""
    device = device or best_device()
    uuid = None
    if device.type == "cuda":
        uuid = str(torch.cuda.get_device_properties(device).uuid)
    return card_held(uuid, f"{device} ({device_name(device)})", what)
