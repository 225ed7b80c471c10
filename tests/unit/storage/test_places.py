"""Folders that SQLite should not live in."""

from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from optimizer.storage.places import file_system_of, slow_place

Part = namedtuple("Part", "mountpoint fstype")
MOUNTS = [
    Part("/", "ext4"),
    Part("/mnt/c", "9p"),
    Part("/mnt/d", "drvfs"),
    Part("/data", "nfs4"),
    Part("/data/scratch", "xfs"),
]


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under WSL2 with network drives."""
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: MOUNTS)


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("folder", "kind", "sentence"),
    [
        ("/home/me/runs", "ext4", None),
        ("/mnt/c/Users/me/runs", "9p", "lies on a Windows drive (9p)"),
        ("/mnt/d/runs", "drvfs", "set output_dir to a folder inside Linux"),
        ("/data/runs", "nfs4", "lies on a network drive (nfs4)"),
        ("/data/scratch/runs", "xfs", None),
        ("/database/runs", "ext4", None),
    ],
)
def test_drives_are_known_by_their_longest_mount(
    folder: str, kind: str, sentence: str | None
) -> None:
    assert file_system_of(Path(folder)) == kind
    told = slow_place(Path(folder))
    assert told is None if sentence is None else told is not None and sentence in told


def test_this_machine_has_file_systems(tmp_path: Path) -> None:
    assert file_system_of(tmp_path)
