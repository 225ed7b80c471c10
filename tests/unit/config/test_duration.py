"""Spans and moments as people write them."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from optimizer.config.duration import next_moment, parse_duration


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time, which ends in the night to 2026-10-25."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("14h", timedelta(hours=14)),
        ("90m", timedelta(minutes=90)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("1h30m10s", timedelta(hours=1, minutes=30, seconds=10)),
    ],
)
def test_spans(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "14", "h", "0h", "30m1h", "1.5h", "-2h", "14 hours"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match='must be a time such as "14h"'):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("23:30", "2026-11-23 23:30 +0100"),
        ("7:00", "2026-11-24 07:00 +0100"),
        ("22:00", "2026-11-24 22:00 +0100"),
        ("2026-11-28 07:00", "2026-11-28 07:00 +0100"),
    ],
)
def test_moments_lie_ahead(text: str, moment: str) -> None:
    now = datetime(2026, 11, 23, 22, 0).astimezone()
    assert next_moment(text, now) == datetime.strptime(moment, "%Y-%m-%d %H:%M %z")


def test_a_clock_time_is_that_of_the_morning_after_summer_time() -> None:
    now = datetime(2026, 10, 24, 22, 0).astimezone()
    assert next_moment("07:00", now) - now == timedelta(hours=10)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("25:00", "must be a time such as"),
        ("soon", "must be a time such as"),
        ("2026-11-22 07:00", "must lie ahead"),
    ],
)
def test_what_is_no_moment_ahead(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        next_moment(text, datetime(2026, 11, 23, 22, 0).astimezone())
