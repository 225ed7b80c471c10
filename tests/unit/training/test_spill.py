"""A spill into host memory is known by slow updates on a full card."""

import logging
from itertools import pairwise

import pytest
import torch

from optimizer.errors import SpilledError
from optimizer.training.memory import MemoryLadder, MemoryWay
from optimizer.training.spill import WINDOW, SpillGuard, card_is_full


def told(guard: SpillGuard, seconds: list[float]) -> list[int]:
    """Which updates were called a spill, by their place."""
    return [place for place, each in enumerate(seconds) if guard.spills(each)]


def test_slow_updates_on_a_full_card_are_a_spill() -> None:
    spills = told(SpillGuard(lambda: True), [1.0] * WINDOW + [6.0] * WINDOW)
    assert len(spills) == 1
    assert WINDOW < spills[0] < 2 * WINDOW


@pytest.mark.parametrize(
    "seconds",
    [
        [9.0, 9.0] + [1.0] * 30,  # first steps compile and tune
        [1.0] * 10 + [60.0] + [1.0] * 20,  # a laptop that slept
        [1.0, 1.9] * 20,  # two buckets
        [1.0] * 10 + [3.0] * 20,  # gradient checkpointing and parts cost something
    ],
)
def test_other_slowness_is_none(seconds: list[float]) -> None:
    assert told(SpillGuard(lambda: True), seconds) == []


def test_a_card_with_room_does_not_spill() -> None:
    assert told(SpillGuard(lambda: False), [1.0] * 10 + [50.0] * 20) == []


def test_after_a_step_down_the_guard_waits_for_its_effect() -> None:
    spills = told(SpillGuard(lambda: True), [1.0] * WINDOW + [9.0] * (3 * WINDOW))
    assert len(spills) == 3
    assert all(later - earlier >= WINDOW for earlier, later in pairwise(spills))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a card")
def test_the_cpu_never_spills() -> None:
    assert not card_is_full()


class NoAdapters:
    def checkpoint_gradients(self, on: bool) -> None:
        """Nothing to checkpoint."""


def test_a_spilling_run_needs_less_until_it_cannot(caplog: pytest.LogCaptureFixture) -> None:
    way = MemoryWay(checkpoints=False, at_once=4)
    ladder = MemoryLadder(way, NoAdapters(), may_checkpoint=True)  # type: ignore[arg-type]
    ladder.guard = SpillGuard(lambda: True)
    with caplog.at_level(logging.WARNING):
        for _ in range(WINDOW):
            ladder.paced(1.0)
        assert ladder.state() == {"checkpoints": 0, "at_once": 4}
        with pytest.raises(SpilledError, match=r"9 s instead of 1 s .* study.memory_limit"):
            for _ in range(20 * WINDOW):
                ladder.paced(9.0)
    assert ladder.state() == {"checkpoints": 1, "at_once": 1}
    assert "going on with 4 pictures at once, with checkpointing" in caplog.text
    assert "going on with 1 picture at once, with checkpointing" in caplog.text
