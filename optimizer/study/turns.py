"""One runner of a study on a machine, and workers that take turns at what must happen once."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.locks import HeldError, held, is_held
from optimizer.storage.database import storage_url
from optimizer.storage.turns import one_at_a_time


def turn(config: StudyConfig) -> AbstractContextManager[None]:
    """Hold off the study's other workers, see `one_at_a_time`."""
    return one_at_a_time(storage_url(config.folder, config.study.storage), config.folder)


GLIMPSE_SECONDS = 0.5
"""`is_run_here` holds the lock for a moment to see whether it can."""


@contextmanager
def sole_runner(config: StudyConfig) -> Iterator[None]:
    """Be the only `optimizer run` of this study on this machine.

    Its workers, on this machine and others, run side by side.

    Raises:
        StudyError: another process holds it.
    """
    try:
        with held(_run_lock(config), f"study {config.name}", patience=GLIMPSE_SECONDS):
            yield
    except HeldError as error:
        raise StudyError(
            f"{config.path}: study {config.name} is being run already, by {error}"
        ) from None


def is_run_here(config: StudyConfig) -> bool:
    """Whether a process of this machine is the study's `sole_runner`."""
    return is_held(_run_lock(config))


def _run_lock(config: StudyConfig) -> str:
    return f"study-{hashlib.sha256(str(config.folder.resolve()).encode()).hexdigest()[:16]}"
