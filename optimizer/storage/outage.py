"""Waiting for a database that went away: restarted, locked for long, or cut off."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from grpc import RpcError
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from optimizer.errors import StorageError

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE_SECONDS = 60.0
OUTAGES = (StorageInternalError, OperationalError, RpcError)
"""What Optuna raises when its database, or the proxy before it, went away."""


def outlast(call: Callable[[], T], *, pause: float = 1.0, attempts: int = 14) -> T:
    """Call until the database answers, with doubling pauses: about ten minutes in all.

    Args:
        call: may be begun again after it was cut off anywhere.
        pause: seconds before the second attempt.

    Raises:
        StorageError: it never did.
    """
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except OUTAGES as error:
            cause = first_reason(error)
            if attempt == attempts:
                raise StorageError(
                    f"the study's database did not answer {attempts} times ({cause}); results are "
                    "in the trials' folders and are taken up when it is back: run again"
                ) from error
            logger.warning("the study's database does not answer (%s); trying again", cause)
            time.sleep(min(pause * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS))
    raise AssertionError("unreachable")


@contextmanager
def outage_is_said(url: URL) -> Iterator[None]:
    """Where there is nothing to lose yet: not waited for.

    Raises:
        StorageError: the database cannot be reached; never with a password in its text.
    """
    try:
        yield
    except OUTAGES as error:
        shown = url.render_as_string(hide_password=True)
        raise StorageError(f"{shown} cannot be opened: {first_reason(error)}") from error


def first_reason(error: Exception) -> str:
    """The first line of what a database driver says."""
    original = getattr(error, "orig", None) or error.__cause__ or error
    text = str(getattr(original, "orig", original)).strip() or type(original).__name__
    return text.splitlines()[0]
