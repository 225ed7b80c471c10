"""The supervisor with real processes: small programs in place of workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.cards import CPU, Place
from optimizer.processes import BAD_INPUT, DONE, INTERRUPTED, STOPPED
from optimizer.study import supervisor
from optimizer.study.supervisor import MOST_DEATHS, Job, Supervisor

BEGIN = """
import os, signal, sys, time
from pathlib import Path
log = Path(sys.argv[1])
with log.open("a") as file:
    file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
begun = len(log.read_text().splitlines())
"""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 0.0)


class Told:
    """What a supervisor said, and its verdict."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.said: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.code = -1

    @property
    def begun(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]


Supervise = Callable[..., Told]


@pytest.fixture
def supervise(tmp_path: Path) -> Supervise:
    """Runs a program, which knows how many were `begun` in all, as the workers of a job."""

    def run(
        program: str,
        places: tuple[Place | None, ...] = (None,),
        has_progressed: Callable[[int], bool] = lambda pid: False,
    ) -> Told:
        told = Told(tmp_path / "begun.log")
        command = [sys.executable, "-c", BEGIN + program, str(told.log)]
        job = Job(command, places, has_progressed)
        told.code = Supervisor(
            job, told.said.append, lambda name, line: told.lines.append((name, line))
        ).run()
        return told

    return run


@pytest.mark.parametrize("code", [DONE, STOPPED, BAD_INPUT, INTERRUPTED])
def test_a_worker_that_ends_of_its_own_accord_is_not_replaced(
    supervise: Supervise, code: int
) -> None:
    told = supervise(f"sys.exit({code})")
    assert (told.code, len(told.begun), told.said) == (code, 1, [])


@pytest.mark.parametrize(
    ("death", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL, perhaps for want of host"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV;"),
        ("sys.exit(75)", "has ended to be replaced;"),
        ("sys.exit(70)", "died with exit code 70;"),
    ],
)
def test_a_worker_that_dies_is_replaced(supervise: Supervise, death: str, sentence: str) -> None:
    told = supervise(f"if begun == 1: {death}")
    assert (told.code, len(told.begun)) == (DONE, 2)
    (said,) = told.said
    assert sentence in said
    assert said.endswith("a new one takes its place")


def test_workers_that_finish_nothing_are_given_up(supervise: Supervise) -> None:
    told = supervise("sys.exit(70)")
    assert (told.code, len(told.begun)) == (STOPPED, MOST_DEATHS)
    assert "5th time without a finished trial: given up" in told.said[-1]


def test_a_finished_trial_makes_good_for_deaths(supervise: Supervise) -> None:
    asked: list[int] = []

    def has_progressed(pid: int) -> bool:
        asked.append(pid)
        return len(asked) % MOST_DEATHS == 0

    told = supervise(
        f"if begun < {2 * MOST_DEATHS + 1}: sys.exit(70)", has_progressed=has_progressed
    )
    assert told.code == DONE
    assert asked == [int(pid) for pid, _ in told.begun[:-1]]


def test_each_worker_sees_its_own_card_and_its_lines_bear_its_name(supervise: Supervise) -> None:
    places = (Place("GPU 1 (a)", "GPU-b"), CPU)
    told = supervise("print('hello')\nprint('oops', file=sys.stderr)", places=places)
    assert sorted(visible for _, *visible in told.begun) == [[], ["GPU-b"]]
    assert sorted(told.lines) == [
        (name, line)
        for name in ("worker 0 on GPU 1 (a)", "worker 1 on cpu")
        for line in ("hello", "oops")
    ]


def test_one_worker_may_fail_while_the_other_goes_on(supervise: Supervise) -> None:
    told = supervise("if begun == 1: sys.exit(1)\ntime.sleep(0.5)", places=(CPU, CPU))
    assert (told.code, len(told.begun)) == (STOPPED, 2)


ORDERLY = """
def end(number, frame):
    log.with_name("ended").write_text(signal.Signals(number).name)
    time.sleep(0.3)
    sys.exit(130)
signal.signal(signal.SIGTERM, end)
log.with_name("ready").touch()
time.sleep(60)
"""
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
log.with_name("ready").touch()
time.sleep(60)
"""


def wait_for(path: Path) -> None:
    for _ in range(400):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_worker_in_order(
    supervise: Supervise, tmp_path: Path, number: signal.Signals
) -> None:
    def send() -> None:
        wait_for(tmp_path / "ready")
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    told = supervise(ORDERLY)
    thread.join()
    assert (told.code, len(told.begun)) == (INTERRUPTED, 1)
    assert (tmp_path / "ended").read_text() == "SIGTERM"
    assert told.said == ["stopping after the update in hand; again to stop at once"]


def test_a_second_signal_insists(supervise: Supervise, tmp_path: Path) -> None:
    def send() -> None:
        wait_for(tmp_path / "ready")
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)

    thread = threading.Thread(target=send)
    thread.start()
    told = supervise(STUBBORN)
    thread.join()
    assert (told.code, len(told.begun)) == (INTERRUPTED, 1)


SUPERVISING = """
import sys
from optimizer.study.supervisor import Job, Supervisor
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
Supervisor(Job(command, [None], lambda pid: False), print, print).run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' prctl")
def test_a_worker_ends_with_its_supervisor_even_if_that_is_killed(tmp_path: Path) -> None:
    worker = f"from optimizer.processes import follow_parent\nfollow_parent()\n{BEGIN}{ORDERLY}"
    command = [sys.executable, "-c", SUPERVISING, worker, str(tmp_path / "begun.log")]
    with subprocess.Popen(command) as supervising:
        wait_for(tmp_path / "ready")
        supervising.kill()
    wait_for(tmp_path / "ended")
    assert (tmp_path / "ended").read_text() == "SIGTERM"


def test_neither_torch_nor_cuda_is_touched() -> None:
    code = (
        "import sys, optimizer.report.run_view\n"
        "print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
