"""A disk that fills up: said in one sentence, nothing lost, gone on with when there is room."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from .bed import Bed

TRIALS = 4
PLAN = {"faults": {"1": "wait"}}
MEBIBYTE = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own where the studies of this test lie, just large enough to begin one."""
    folder = tmp_path / "runs"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """To the last byte."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(MEBIBYTE))
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0")


def stopped_with_one_sentence(code: int, complaint: str) -> None:
    assert "Traceback" not in complaint
    assert (code, complaint.count("error: ")) in ((1, 1), (2, 1)), complaint
    assert "full" in complaint


def test_a_disk_filled_in_mid_trial(small_disk: Path, make_bed: Callable[..., Bed]) -> None:
    bed = make_bed(plan=PLAN, n_trials=TRIALS)
    worker = bed.start()
    bed.await_event("waiting")
    fill(small_disk / "of_somebody_else")
    bed.go_on()
    stopped_with_one_sentence(*bed.end_of(worker))
    stopped_with_one_sentence(*bed.run())
    (small_disk / "of_somebody_else").unlink()
    assert bed.run()[0] == 0
    bed.check(TRIALS)
    assert len(bed.trials()) == TRIALS + 1
    # The trial went on where it was.
    assert len(bed.events("step")) <= TRIALS * 10 + 1


def test_a_disk_filled_between_trials(small_disk: Path, make_bed: Callable[..., Bed]) -> None:
    bed = make_bed(n_trials=TRIALS)
    assert bed.run(n_trials=2)[0] == 0
    fill(small_disk / "of_somebody_else")
    stopped_with_one_sentence(*bed.run())
    (small_disk / "of_somebody_else").unlink()
    assert bed.run()[0] == 0
    bed.check(TRIALS)
    assert bed.counts() == {"COMPLETE": TRIALS}


def test_a_process_that_may_write_no_more(make_bed: Callable[..., Bed]) -> None:
    """As with a quota; also where nobody may mount."""
    bed = make_bed(plan=PLAN, n_trials=TRIALS)
    worker = bed.start()
    bed.await_event("waiting")
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, 0))
    bed.go_on()
    code, complaint = bed.end_of(worker)
    assert code == 1
    assert complaint.count("error: ") == 1
    assert "the disk is full (File too large)" in complaint
    assert bed.run()[0] == 0
    bed.check(TRIALS)
