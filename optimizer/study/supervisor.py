"""Keeps one worker process per card at work; touches neither CUDA nor torch itself."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from optimizer.cards import Place
from optimizer.processes import BAD_INPUT, DONE, INTERRUPTED, STOPPED, WORN_OUT, with_parent
from optimizer.study.signals import on_signals

logger = logging.getLogger(__name__)

MOST_DEATHS = 5
"""In a row, without a trial finished between. A trial that kills its worker is given up after
three, so this takes two such trials or a machine that is ill."""
LONGEST_PAUSE_SECONDS = 60.0
_POLL_SECONDS = 0.2
_FINAL = (DONE, STOPPED, BAD_INPUT, INTERRUPTED)


@dataclass(frozen=True)
class Job:
    """What workers run.

    command: of each worker. places: one a worker; None leaves its choice to it.
    has_progressed: whether the process with this id has finished a trial.
    """

    command: Sequence[str]
    places: Sequence[Place | None]
    has_progressed: Callable[[int], bool]


@dataclass
class _Worker:
    name: str
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    deaths: int = 0
    start_at: float = 0.0
    code: int | None = None
    """How it ended for good."""


@dataclass
class Supervisor:
    """Starts the workers of a job, restarts those that die, passes signals on.

    Args:
        say: tells people what happened to a worker.
        tell: shows a line of a worker's own output, with the worker's name. Only used when there
            are several; a single one writes to the terminal itself.
    """

    job: Job
    say: Callable[[str], None]
    tell: Callable[[str, str], None]
    signals: int = field(default=0, init=False)

    def run(self) -> int:
        """Work until every worker has ended for good; returns the exit code."""
        self.workers = [_worker(place, number) for number, place in enumerate(self.job.places)]
        with on_signals(self._pass_on):
            while busy := [worker for worker in self.workers if worker.code is None]:
                for worker in busy:
                    self._look_after(worker)
                time.sleep(_POLL_SECONDS)
        codes = {worker.code for worker in self.workers}
        if self.signals:
            return INTERRUPTED
        return next(code for code in (BAD_INPUT, STOPPED, INTERRUPTED, DONE) if code in codes)

    def _look_after(self, worker: _Worker) -> None:
        if worker.process is None:
            if self.signals:
                worker.code = INTERRUPTED
            elif time.monotonic() >= worker.start_at:
                self._start(worker)
            return
        code = worker.process.poll()
        if code is not None:
            self._ended(worker, worker.process.pid, code)

    def _start(self, worker: _Worker) -> None:
        piped = subprocess.PIPE if len(self.workers) > 1 else None
        worker.process = subprocess.Popen(
            self.job.command,
            env=with_parent(worker.environment),
            stdout=piped,
            stderr=subprocess.STDOUT if piped else None,
            text=True,
            # Of Ctrl-C it should hear once, from us.
            start_new_session=True,
        )
        if piped:
            arguments = (worker.name, worker.process)
            worker.reader = threading.Thread(target=self._read, args=arguments, daemon=True)
            worker.reader.start()

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.tell(name, line.rstrip("\n"))

    def _ended(self, worker: _Worker, pid: int, code: int) -> None:
        worker.process = None
        if worker.reader is not None:
            worker.reader.join(timeout=5)
        if code in _FINAL:
            worker.code = code
            return
        if self.signals:
            worker.code = INTERRUPTED
            return
        progressed = self.job.has_progressed(pid)
        worker.deaths = 0 if progressed else worker.deaths + 1
        if worker.deaths >= MOST_DEATHS:
            self.say(
                f"{worker.name} {_how(code)}, the {worker.deaths}th time without a finished "
                "trial: given up; see `optimizer status`, `optimizer logs` and `optimizer doctor`"
            )
            worker.code = STOPPED
            return
        pause = 0.0 if progressed else min(2.0**worker.deaths, LONGEST_PAUSE_SECONDS)
        worker.start_at = time.monotonic() + pause
        self.say(f"{worker.name} {_how(code)}; a new one takes its place")

    def _pass_on(self, number: int) -> None:
        """The first signal asks the workers to end in order, the next one insists."""
        self.signals += 1
        passed = signal.SIGTERM if self.signals == 1 else signal.SIGKILL
        if self.signals == 1:
            self.say("stopping after the update in hand; again to stop at once")
        for worker in self.workers:
            if worker.process is not None:
                worker.process.send_signal(passed)


def _worker(place: Place | None, number: int) -> _Worker:
    if place is None:
        return _Worker("the worker", dict(os.environ))
    return _Worker(f"worker {number} on {place.label}", place.environment())


def _how(code: int) -> str:
    if code == WORN_OUT:
        return "has ended to be replaced"
    if code < 0:
        name = signal.Signals(-code).name
        # The kernel's own way of making room.
        hint = ", perhaps for want of host memory" if code == -signal.SIGKILL else ""
        return f"was killed by {name}{hint}"
    return f"died with exit code {code}"
