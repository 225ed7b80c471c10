"""A process and those it starts: how they end together."""

import ctypes
import os
import signal
import sys

PARENT = "LORA_OPTIMIZER_PARENT"
"""Environment variable by which a parent says: end in order when I am gone."""
_PR_SET_PDEATHSIG = 1

DONE, STOPPED, BAD_INPUT, BUG, WORN_OUT, INTERRUPTED = 0, 1, 2, 70, 75, 130
"""Exit codes. BUG is sysexits' EX_SOFTWARE; WORN_OUT, its EX_TEMPFAIL, asks for a fresh process
that goes on."""


def with_parent(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a child that should not outlive this process."""
    return environment | {PARENT: str(os.getpid())}


def follow_parent() -> None:
    """Have the kernel send SIGTERM when the parent that asked for it dies, also by SIGKILL.

    Where the kernel is not Linux's, such a child outlives its parent.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it was quicker
        sys.exit(INTERRUPTED)
