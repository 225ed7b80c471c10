"""The device that models run on, and being alone on it."""

from contextlib import AbstractContextManager

import torch

from optimizer.cards import card_held


def best_device() -> torch.device:
    """The first CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The graphics card, or the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def device_held(what: str, device: torch.device | None = None) -> AbstractContextManager[None]:
    """Be the only training or scoring on a device, the best there is when None; see `card_held`."""
    device = device or best_device()
    uuid = None
    if device.type == "cuda":
        uuid = str(torch.cuda.get_device_properties(device).uuid)
    return card_held(uuid, f"{device} ({device_name(device)})", what)
