"""Workers that start together share the work: none of it is done twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .bed import Bed, seeds

SEEDS_A_START = 4


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "starts"), [(2, 13), (4, 12)])
def test_workers_that_start_together(
    workers: int, starts: int, make_bed: Callable[..., Bed], database: str | None, tmp_path: Path
) -> None:
    """50 starts over both databases; each brings new seeds, which all its workers are given."""
    bed = make_bed(database, plan={"steps": 2})
    told = seeds(starts * SEEDS_A_START)
    for start in range(1, starts + 1):
        wanted = start * SEEDS_A_START
        _start_together(
            bed, workers, tmp_path / f"gate_{start}", seeds=told[:wanted], n_trials=wanted
        )
    bed.check(len(told))
    bed.check_seeds(told)
    assert bed.counts() == Counter(COMPLETE=len(told))
    at_work = {event["pid"] for event in bed.events("began")}
    assert len(at_work) > starts


def _start_together(bed: Bed, workers: int, gate: Path, **plan: Any) -> None:
    ready = len(bed.events("ready"))
    processes = [bed.start(gate=str(gate), **plan) for _ in range(workers)]
    bed.await_event("ready", ready + workers)
    gate.touch()
    for process in processes:
        code, complaint = bed.end_of(process)
        assert code == 0, complaint
