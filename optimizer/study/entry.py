"""A trial's scored checkpoints, read from its scores.json."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial

from optimizer.scoring.health import Health
from optimizer.trial import attrs


@dataclass(frozen=True)
class Entry:
    """A checkpoint as the search scored it."""

    trial: int
    epoch: int
    checkpoint: str
    """Within the study's folder."""
    sha256: str
    objective: float
    objective_se: float


def entries_of(trial: FrozenTrial, folder: Path) -> Iterator[Entry]:
    """The checkpoints of a feasible trial whose pictures may be scored."""
    best = Path(trial.user_attrs[attrs.CHECKPOINT])
    path = folder / f"trial_{trial.number:04d}" / "scores.json"
    for told in json.loads(path.read_bytes())["checkpoints"]:
        if Health.from_dict(told["health"]).ok:
            yield Entry(
                trial=trial.number,
                epoch=told["epoch"],
                checkpoint=(best.parent / told["file"]).as_posix(),
                sha256=told["sha256"],
                objective=told["objective"],
                objective_se=told["objective_se"],
            )
