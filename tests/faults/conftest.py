"""Makes studies with real worker processes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optimizer.config.study import StudyConfig

from .bed import Bed


@pytest.fixture
def make_bed(
    make_study: Callable[..., StudyConfig], tmp_path: Path
) -> Iterator[Callable[..., Bed]]:
    """Makes a study for workers: `make_bed(storage, plan={...}, n_trials=5)`."""
    beds: list[Bed] = []

    def make(storage: str | None = None, plan: dict[str, Any] | None = None, **study: Any) -> Bed:
        bed = Bed(make_study(storage=storage, **study), tmp_path / "ledger.jsonl", plan or {})
        beds.append(bed)
        return bed

    yield make
    for process in (process for bed in beds for process in bed.processes):
        process.kill()
        process.communicate()
