"""A driver that spills into host memory instead of saying that the card is full (WSL2, Windows)."""

from collections import deque
from collections.abc import Callable
from statistics import median

import torch

WINDOW = 8
"""Updates whose median is looked at: one may be slow for many reasons."""
FACTOR = 4.0
"""Host memory is many times slower; another bucket or gradient checkpointing is not."""
NEARLY_FULL = 0.02
"""Share of the card that is free where a driver begins to spill."""


def card_is_full() -> bool:
    """Whether next to nothing is free on the card; never on the CPU."""
    if not torch.cuda.is_available():
        return False
    free, total = torch.cuda.mem_get_info()
    return free < NEARLY_FULL * total


class SpillGuard:
    """Told how long each update took; knows when that means a spill.

    A run's own baseline, the fastest it ever was, is what it is measured against.
    """

    def __init__(self, is_full: Callable[[], bool] = card_is_full) -> None:
        self.is_full = is_full
        self.last: deque[float] = deque(maxlen=WINDOW)
        self.baseline = float("inf")

    def spills(self, seconds: float) -> bool:
        """Take note of an update; returns whether the last ones are a spill's."""
        self.last.append(seconds)
        if len(self.last) < WINDOW:
            return False
        usual = median(self.last)
        self.baseline = min(self.baseline, usual)
        if usual <= FACTOR * self.baseline or not self.is_full():
            return False
        self.last.clear()  # what is done about it takes effect from the next update on
        return True
