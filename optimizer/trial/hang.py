"""A trial that makes no progress any more: its process is ended, so that another may go on."""

import faulthandler
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import TracebackType

from optimizer.files import write_json
from optimizer.processes import WORN_OUT

logger = logging.getLogger(__name__)

LEAST_SECONDS = 600.0
TIMES_USUAL = 20.0
"""A slow machine is not a hanging one: this many times the usual time between beats."""
STACKS = "hang.txt"
NOTE = "hang.json"


class HangWatch:
    """Ends the process when nothing has beaten for too long; a context manager around a trial.

    The watch begins with the first beat: loading and caching take what they take. A process that
    was itself suspended is given its time anew.

    Args:
        folder: the trial's; gets the stacks of all threads, and a note for the next start.
        least: seconds that a silence may last in any case.
        end: called in the end; never returns.
    """

    def __init__(
        self,
        folder: Path,
        *,
        least: float = LEAST_SECONDS,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self.folder, self.least, self.end = folder, least, end
        self.intervals: deque[float] = deque(maxlen=50)
        self.last: float | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True, name="hang watch")

    def __enter__(self) -> "HangWatch":
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.thread.join()

    def beat(self) -> None:
        """A sign of progress."""
        now = time.monotonic()
        if self.last is not None:
            self.intervals.append(now - self.last)
        self.last = now

    @property
    def limit(self) -> float:
        """Seconds of silence after which a trial hangs."""
        usual = median(self.intervals) if self.intervals else 0.0
        return max(self.least, TIMES_USUAL * usual)

    def _watch(self) -> None:
        period = self.least / 20
        before = time.monotonic()
        while not self.over.wait(period):
            now = time.monotonic()
            if now - before > 2 * period + 1 and self.last is not None:
                self.last = now  # this thread did not run either: the process was stopped
            before = now
            if self.last is not None and now - self.last > self.limit:
                self._give_up(now - self.last)

    def _give_up(self, silence: float) -> None:
        reason = (
            f"nothing moved for {silence / 60:.0f} minutes; where it stood is in "
            f"{self.folder / STACKS}"
        )
        logger.critical("%s hangs: %s; its process ends", self.folder.name, reason)
        with (self.folder / STACKS).open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        write_json(self.folder / NOTE, {"reason": reason})
        self.end(WORN_OUT)


def hang_of(folder: Path) -> str | None:
    """The sentence that a hanging trial left in its folder."""
    try:
        return str(json.loads((folder / NOTE).read_bytes())["reason"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
