"""Room on the disk: the largest trial so far says how much the next one may need."""

import shutil
from pathlib import Path

import pytest

from optimizer.errors import StudyStoppedError
from optimizer.storage.disk import GIB, MARGIN_BYTES, refuse_full_disk


def trial(folder: Path, number: int, size: int) -> None:
    """A trial of so many bytes: files with holes, large to look at and empty on the disk."""
    path = folder / f"trial_{number:04d}" / "checkpoints" / "a.safetensors"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(size)


def test_small_trials_find_room(tmp_path: Path) -> None:
    refuse_full_disk(tmp_path)
    trial(tmp_path, 0, 1000)
    refuse_full_disk(tmp_path)


def test_the_largest_trial_counts_wherever_its_files_lie(tmp_path: Path) -> None:
    trial(tmp_path, 0, 4096 * GIB)
    trial(tmp_path, 1, GIB)
    with pytest.raises(StudyStoppedError) as refused:
        refuse_full_disk(tmp_path)
    said = str(refused.value)
    assert "(the largest so far took 4096.00)" in said
    assert "may need 6144.25 GiB" in said
    assert "nothing was lost" in said


def test_a_trial_that_would_just_fill_the_disk_is_refused(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    trial(tmp_path, 0, int((free - MARGIN_BYTES) / 1.5) + GIB // 4)
    with pytest.raises(StudyStoppedError):
        refuse_full_disk(tmp_path)


def test_other_files_of_the_study_are_no_trial(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    for name in ("optimizer.db", "final/a.safetensors"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(4096 * GIB)
    refuse_full_disk(tmp_path)
