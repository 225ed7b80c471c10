"""Templates of this room: pages escape what they are given, Markdown does not."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from optimizer.report.spoken import duration
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
