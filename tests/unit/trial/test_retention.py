"""Which LoRA files of a trial stay on disk."""

from pathlib import Path

import pytest

from optimizer.config.study import SearchConfig
from optimizer.scoring.health import Health
from optimizer.scoring.objective import Scores
from optimizer.training.results import Checkpoint
from optimizer.trial.retention import forget_checkpoints
from optimizer.trial.scored import ScoredCheckpoint

VALUES = [0.2, 0.9, 0.5, 0.6, 0.4]


def scored(folder: Path, *, healthy: bool = True) -> list[ScoredCheckpoint]:
    """Five checkpoints whose second one is best, unless its pictures are black."""
    found = []
    for epoch, value in enumerate(VALUES, start=1):
        path = folder / f"mivo-{epoch:06d}.safetensors"
        path.write_bytes(b"LoRA")
        black = 4 if epoch == 2 and not healthy else 0
        scores = Scores(value, 0.1, {}, Health(4, black, 0, 0), {})
        found.append(ScoredCheckpoint(Checkpoint(epoch, epoch, path, ""), scores))
    return found


def study(**chosen: object) -> SearchConfig:
    known = {"name": "s", "n_trials": 1, "search_space": "space.toml"}
    return SearchConfig.model_validate(known | chosen)


def left(folder: Path) -> list[int]:
    return sorted(int(path.stem[-6:]) for path in folder.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("rule", "count", "wanted"),
    [
        ("all", 1, [1, 2, 3, 4, 5]),
        ("best", 1, [2]),
        ("best", 3, [2, 3, 4]),
        ("last", 1, [2, 5]),
        ("last", 2, [2, 4, 5]),
    ],
)
def test_the_study_decides(rule: str, count: int, wanted: list[int], tmp_path: Path) -> None:
    forget_checkpoints(scored(tmp_path), study(keep_checkpoints=rule, keep_count=count))
    assert left(tmp_path) == wanted


def test_black_pictures_are_never_best(tmp_path: Path) -> None:
    forget_checkpoints(scored(tmp_path, healthy=False), study())
    assert left(tmp_path) == [4]


def test_files_deleted_before_are_no_trouble(tmp_path: Path) -> None:
    checkpoints = scored(tmp_path)
    for number in range(1, 6):
        forget_checkpoints(checkpoints[:number], study())
    assert left(tmp_path) == [2]
