"""Spans of time as people write them: 14h, 90m, 1d12h; and moments: 07:00."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_SPAN = re.compile("".join(rf"(?:(?P<{unit}>\d+){unit})?" for unit in _UNITS))


def parse_duration(text: str) -> timedelta:
    """Read "14h", "90m" or "1d12h"; raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    parts = found.groupdict(default="0") if found else {}
    span = timedelta(**{_UNITS[unit]: int(count) for unit, count in parts.items()})
    if not span:
        raise ValueError('must be a time such as "14h", "90m" or "1d12h"')
    return span


def next_moment(text: str, now: datetime) -> datetime:
    """Read "07:00", the next time that a clock shows it, or "2026-11-28 07:00".

    Args:
        now: the local time, with its time zone.

    Raises:
        ValueError: it is neither, or it has passed.
    """
    # Clock times first, their offset after: the night may hold a change of summer time.
    clock = re.fullmatch(r"\d{1,2}:\d{2}", text)
    try:
        today = now.strftime("%Y-%m-%d ")
        moment = datetime.strptime((today if clock else "") + text, "%Y-%m-%d %H:%M")
    except ValueError:
        problem = 'must be a time such as "07:00" or "2026-11-28 07:00"'
        raise ValueError(problem) from None
    if clock and moment.astimezone() <= now:
        moment += timedelta(days=1)
    if moment.astimezone() <= now:
        raise ValueError("must lie ahead")
    return moment.astimezone()


def _checked(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_checked)]
"""Text that `parse_duration` reads."""
