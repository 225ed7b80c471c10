"""A process that does nothing any more is ended, and says where it stood."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from optimizer.processes import WORN_OUT
from optimizer.trial.hang import HangWatch, hang_of

HANGING = """
import sys, time
from pathlib import Path
from optimizer.trial.hang import HangWatch

def somewhere_deep():
    time.sleep(60)

with HangWatch(Path(sys.argv[1]), least=float(sys.argv[2])) as watch:
    watch.beat()
    print("beaten", flush=True)
    somewhere_deep()
"""


def hanging(folder: Path, least: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HANGING, str(folder), str(least)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_hanging_process_ends_and_tells_where_it_stood(tmp_path: Path) -> None:
    process = hanging(tmp_path, 0.4)
    process.communicate(timeout=20)
    assert process.returncode == WORN_OUT
    assert "somewhere_deep" in (tmp_path / "hang.txt").read_text()
    told = hang_of(tmp_path)
    assert told is not None and "nothing moved for 0 minutes" in told


def test_a_suspended_process_is_given_its_time_anew(tmp_path: Path) -> None:
    process = hanging(tmp_path, 3.0)
    process.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    process.send_signal(signal.SIGCONT)
    time.sleep(1.5)
    assert process.poll() is None
    process.kill()
    process.communicate()


class Ended(BaseException):
    """In place of the end of the process."""


def watched(folder: Path, beats: list[float], least: float) -> list[int]:
    """Beat after each of these pauses; returns the codes that the process would have ended with."""
    codes: list[int] = []
    over = threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        over.set()
        time.sleep(0.3)

    with HangWatch(folder, least=least, end=end) as watch:
        for pause in beats:
            if over.wait(pause):
                break
            watch.beat()
    return codes


def test_a_trial_that_beats_goes_on(tmp_path: Path) -> None:
    assert watched(tmp_path, [0.05] * 20, least=0.4) == []
    assert hang_of(tmp_path) is None


def test_what_never_beat_is_still_loading(tmp_path: Path) -> None:
    assert watched(tmp_path, [0.8], least=0.3) == []


def test_a_slow_machine_is_no_hanging_one(tmp_path: Path) -> None:
    watch = HangWatch(tmp_path, least=1.0)
    watch.intervals.extend([0.01] * 10)
    assert watch.limit == 1.0
    watch.intervals.extend([5.0] * 20)
    assert watch.limit == 100.0


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_note_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "hang.json").write_text(text)
    assert hang_of(tmp_path) is None
