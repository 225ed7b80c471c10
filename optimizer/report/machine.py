"""What this machine has for training: versions, card, attention, memory, caches."""

import os
import platform
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import psutil
from platformdirs import user_cache_path

from optimizer.cards import Card, cards, lock_name
from optimizer.locks import holder_of
from optimizer.study.doctor import Finding

GIB = 2**30
NEEDED = ("torch", "diffusers", "transformers", "peft", "accelerate", "bitsandbytes", "optuna")


def examine_machine() -> Iterator[Finding]:
    """Look at the machine; a check that cannot be made is a finding itself."""
    for check in (_system, _packages, _torchvision, _cards, _attention, _eight_bit, _cache):
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001  # drivers and their libraries fail in any way
            name = check.__name__.lstrip("_").replace("_", " ")
            yield Finding(name, "problem", f"could not be looked at: {error}")


def _system() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    wsl = ", WSL" if "microsoft" in platform.release().lower() else ""
    said = (
        f"Python {platform.python_version()}, {platform.system()}{wsl}, {os.cpu_count()} CPUs, "
        f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB of memory free"
    )
    yield Finding("machine", "ok", said)


def _packages() -> Iterator[Finding]:
    found = {name: _version(name) for name in (*NEEDED, "xformers", "psycopg")}
    missing = [name for name in NEEDED if found[name] is None]
    there = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    yield Finding("versions", "ok", there)
    if missing:
        said = f"not installed: {', '.join(missing)}; pip install lora-optimizer"
        yield Finding("versions", "problem", said)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torchvision() -> Iterator[Finding]:
    if _version("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        said = f"torchvision does not go with this torch ({error}) and breaks diffusers and peft"
        yield Finding("torchvision", "problem", f"{said}; pip uninstall torchvision")


def _cards() -> Iterator[Finding]:
    import torch

    known = cards()
    for card in known:
        yield Finding("card", "ok", f"{card}, {card.memory_bytes / GIB:.1f} GiB{_holder(card)}")
    if known and not torch.cuda.is_available():
        said = f"torch {torch.__version__} cannot use it: a build without CUDA, or an old driver"
        yield Finding("card", "problem", said)
    if not known:
        yield Finding("card", "note", "no NVIDIA card: training runs on the CPU, for trying out")
    for number in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(number)
        kind = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        yield Finding(
            "card", "ok", f"cuda:{number} has capability {major}.{minor}, trains in {kind}"
        )


def _holder(card: Card) -> str:
    holder = holder_of(lock_name(card.uuid))
    return f", in use by {holder}" if holder else ""


def _attention() -> Iterator[Finding]:
    import torch

    from optimizer.models.attention import choose_attention, xformers_problem
    from optimizer.models.device import best_device

    device = best_device()
    problem = xformers_problem(torch.device(device))
    beside = "xformers runs too" if problem is None else f"xformers does not: {problem}"
    yield Finding("attention", "ok", f"{choose_attention('auto', device)} on {device}; {beside}")


def _eight_bit() -> Iterator[Finding]:
    import torch
    from bitsandbytes.optim import AdamW8bit

    from optimizer.models.device import best_device

    weight = torch.nn.Parameter(torch.ones(4096, device=best_device()))
    optimizer: Callable[..., torch.optim.Optimizer] = AdamW8bit
    torch_optimizer = optimizer([weight], lr=0.1)
    weight.sum().backward()  # type: ignore[no-untyped-call]
    torch_optimizer.step()
    moved = bool((weight < 1).all())
    said = "AdamW8bit makes a step" if moved else "AdamW8bit makes no step; take AdamW"
    yield Finding("8 bit", "ok" if moved else "problem", said)


def _cache() -> Iterator[Finding]:
    folder = user_cache_path("lora-optimizer")
    parent = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(parent, os.W_OK):
        said = f"{folder} cannot be written to; set XDG_CACHE_HOME to a folder that can"
        yield Finding("cache", "problem", said)
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    yield Finding("cache", "ok", f"{folder} holds {size / GIB:.2f} GiB of latents and scores")
