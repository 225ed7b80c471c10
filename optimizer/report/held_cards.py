"""What the graphics cards do that running workers hold."""

from collections.abc import Container
from dataclasses import dataclass

from optimizer.cards import cards, lock_name, use_of
from optimizer.locks import holder_of


@dataclass(frozen=True)
class HeldCard:
    """A card at work. Memory in bytes, of everything on it; share of computing time in percent."""

    name: str
    memory_used: int
    memory_total: int
    busy_percent: int


def held_cards(pids: Container[int]) -> dict[int, HeldCard]:
    """Cards of this machine by the processes that hold them; nothing where there is no driver."""
    found = {}
    for card in cards():
        holder, use = holder_of(lock_name(card.uuid)), use_of(card.uuid)
        if holder is not None and holder.pid in pids and use is not None:
            found[holder.pid] = HeldCard(
                str(card), use.memory_used, use.memory_total, use.busy_percent
            )
    return found
