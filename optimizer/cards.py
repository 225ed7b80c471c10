"""The graphics cards of this machine, asked of the driver: no CUDA context, no torch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pynvml

from optimizer.errors import CardError
from optimizer.locks import HeldError, held

PATIENCE_SECONDS = 10.0
"""A process that was told to end needs a moment to let go of its card."""


@dataclass(frozen=True)
class Card:
    """One graphics card. `uuid` stays the same whatever CUDA_VISIBLE_DEVICES says."""

    index: int
    uuid: str
    name: str
    memory_bytes: int

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.name})"


@dataclass(frozen=True)
class Use:
    """What a card is doing. Bytes; share of the last moments in which it computed, in percent."""

    memory_used: int
    memory_total: int
    busy_percent: int


def cards() -> tuple[Card, ...]:
    """Every NVIDIA card the driver knows; none where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_card(index) for index in range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _card(index: int) -> Card:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    return Card(
        index, pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle), int(memory)
    )


def use_of(uuid: str) -> Use | None:
    """What a card is doing now; None where the driver does not say."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
        return Use(int(memory.used), int(memory.total), int(busy))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


@dataclass(frozen=True)
class Place:
    """Where a worker works. `visible` is its CUDA_VISIBLE_DEVICES: a UUID, or nothing."""

    label: str
    visible: str

    def environment(self) -> dict[str, str]:
        """Of a process that sees this place alone."""
        return os.environ | {"CUDA_VISIBLE_DEVICES": self.visible}


CPU = Place("cpu", "")


def chosen(wanted: str, known: Sequence[Card]) -> list[Place]:
    """A place for each worker, from `0,1`, UUIDs, `all`, or `cpu,cpu`.

    Raises:
        CardError: a card that is not there, or one named twice.
    """
    names = [name.strip() for name in wanted.split(",")]
    if names == ["all"]:
        if not known:
            raise CardError("--gpus all: the NVIDIA driver knows no card on this machine")
        return [_place(card) for card in known]
    places = [CPU if name == CPU.label else _named(name, known) for name in names]
    if any(place is not CPU and places.count(place) > 1 for place in places):
        raise CardError(f"--gpus {wanted}: one worker a card, and a card is named twice")
    return places


def _named(name: str, known: Sequence[Card]) -> Place:
    for card in known:
        if name in (str(card.index), card.uuid):
            return _place(card)
    there = ", ".join(f"{card.index} ({card.name})" for card in known) or "none"
    raise CardError(f"--gpus: there is no card {name!r} on this machine; it has: {there}")


def _place(card: Card) -> Place:
    # CUDA counts cards by speed, the driver by slot: only a UUID means the same to both.
    return Place(str(card), card.uuid)


def lock_name(uuid: str) -> str:
    """Of a card's lock; torch and the driver write the same UUID in two ways."""
    return f"card-{uuid.removeprefix('GPU-')}"


@contextmanager
def card_held(uuid: str | None, name: str, what: str) -> Iterator[None]:
    """Be the only training or scoring of this machine on a card; the CPU (None) is free to all.

    Args:
        what: told to those who want the card meanwhile.

    Raises:
        CardError: another process of this program works on it.
    """
    if uuid is None:
        yield
        return
    try:
        with held(lock_name(uuid), what, patience=PATIENCE_SECONDS):
            yield
    except HeldError as error:
        raise CardError(
            f"{name} is in use by {error}: two on one card would both crawl or run out of memory; "
            "wait for it, stop it, or give another card (`optimizer run --gpus`)"
        ) from None
