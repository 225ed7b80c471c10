"""Waiting for a database that went away: restarted, locked for long, or cut off."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from grpc import RpcError
from optuna.exceptions import StorageInternalError
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
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            if attempt == attempts:
                raise StorageError(
                    f"the study's database did not answer {attempts} times ({cause}); results are "
                    "in the trials' folders and are taken up when it is back: run again"
                ) from error
            logger.warning("the study's database does not answer (%s); trying again", cause)
            time.sleep(min(pause * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS))
    raise AssertionError("unreachable")
