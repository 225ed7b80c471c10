"""How fast a trial trains, from both ends of its metrics.jsonl."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

_HEAD_BYTES, _TAIL_BYTES = 64_000, 8_000
"""Some 300 and 40 steps: a night's file has megabytes, and is read every other second."""
_RECENT = 20
_WARM_UP = 2
"""First steps that are left out: they compile, allocate and fill caches."""


@dataclass(frozen=True)
class Pace:
    """Where a trial's training stands. Times are in seconds."""

    epoch: int
    global_step: int
    max_train_steps: int
    loss: float
    seconds_per_step: float
    """Median of the latest steps."""
    baseline: float
    """Median of the trial's own first steps; far above it, memory has spilled to the host."""

    @property
    def seconds_left(self) -> float:
        """Training left, without the drawing and scoring of checkpoints."""
        return (self.max_train_steps - self.global_step) * self.seconds_per_step


def pace(path: Path) -> Pace | None:
    """Read a metrics.jsonl that may be written meanwhile; None before its first whole line."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            size = file.seek(0, 2)
            file.seek(max(size - _TAIL_BYTES, 0))
            tail = file.read()
    except FileNotFoundError:
        return None
    first, latest = _steps(head), _steps(tail)[-_RECENT:]
    if not latest:
        return None
    baseline = [step["seconds"] for step in first[_WARM_UP:]] or [first[0]["seconds"]]
    return Pace(
        epoch=latest[-1]["epoch"],
        global_step=latest[-1]["global_step"],
        max_train_steps=latest[-1]["max_train_steps"],
        loss=latest[-1]["loss"],
        seconds_per_step=median(step["seconds"] for step in latest),
        baseline=median(baseline),
    )


def _steps(text: bytes) -> list[dict[str, Any]]:
    """Whole lines only: either end may begin or stop within one."""
    found = []
    for line in text.splitlines():
        try:
            step = json.loads(line)
        except ValueError:
            continue
        if isinstance(step, dict):
            found.append(step)
    return found
