"""Templates of this room: pages escape what they are given, Markdown does not."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from optimizer.report.tables import short


@cache
def environment(*, autoescape: bool = False) -> Environment:
    """Jinja2 on templates/, where a missing value is an error."""
    made = Environment(
        loader=PackageLoader("optimizer.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"short": short, "cell": cell, "duration": duration}
    return made


def cell(value: Any) -> str:
    """Text inside a Markdown table."""
    return " ".join(short(value).replace("|", "\\|").split())


def size(count: int) -> str:
    """Bytes as people say them."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
