"""Small charts as SVG: geometry here, drawing in templates/chart.svg.j2. No script, no library."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 44
"""Room around the plot for ticks and titles, in SVG units."""
_WANTED_TICKS = 5


@dataclass(frozen=True)
class Point:
    """A value with its interval. kind: `drawn`, `seed` or `best`."""

    x: float
    y: float
    low: float
    high: float
    kind: str
    label: str


@dataclass(frozen=True)
class Marker:
    """A vertical line with words, or a cross on the bottom line."""

    x: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A point in SVG units."""

    x: float
    y: float
    low: float
    high: float
    kind: str
    label: str


@dataclass(frozen=True)
class Tick:
    """A place on an axis in SVG units, and what stands there."""

    place: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything the template draws, in SVG units."""

    title: str
    description: str
    x_title: str
    y_title: str
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    line: str
    """The best so far, as the points of a polyline; empty for none."""
    crosses: tuple[Tick, ...]
    """Trials without a score, on the bottom line."""
    markers: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def scatter(
    title: str,
    description: str,
    points: Sequence[Point],
    *,
    x_title: str,
    y_title: str = "objective",
    log_x: bool = False,
    best_so_far: bool = False,
    crosses: Sequence[Marker] = (),
    markers: Sequence[Marker] = (),
) -> Chart:
    """Points with 95 % intervals over a linear or logarithmic x axis.

    Args:
        points: at least one, in the order of the x axis if `best_so_far`.
        crosses: drawn on the bottom line: trials that have no score.
        markers: vertical lines.
    """
    xs = [p.x for p in points] + [m.x for m in (*crosses, *markers)]
    place_x, x_ticks = _axis(xs, LEFT + 10, WIDTH - RIGHT - 10, log_x)
    # The objective lies in [0, 1], and an interval that leaves it says nothing more.
    lows = [max(p.low, min(p.y, 0.0)) for p in points]
    highs = [min(p.high, max(p.y, 1.0)) for p in points]
    place_y, y_ticks = _axis([*lows, *highs], HEIGHT - BOTTOM - 8, TOP + 6, log=False)
    marks = tuple(
        Mark(place_x(p.x), place_y(p.y), place_y(low), place_y(high), p.kind, p.label)
        for p, low, high in zip(points, lows, highs, strict=True)
    )
    return Chart(
        title=title,
        description=description,
        x_title=x_title,
        y_title=y_title,
        marks=marks,
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        line=_steps(marks, WIDTH - RIGHT) if best_so_far else "",
        crosses=tuple(Tick(place_x(m.x), m.label) for m in crosses),
        markers=tuple(Tick(place_x(m.x), m.label) for m in markers),
    )


def _steps(marks: Sequence[Mark], right: float) -> str:
    corners: list[tuple[float, float]] = []
    for mark in marks:
        # Up is smaller in SVG.
        if not corners or mark.y < corners[-1][1]:
            if corners:
                corners.append((mark.x, corners[-1][1]))
            corners.append((mark.x, mark.y))
    corners.append((right, corners[-1][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _axis(
    values: Sequence[float], start: float, end: float, log: bool
) -> tuple[Callable[[float], float], tuple[Tick, ...]]:
    scaled = [math.log10(v) if log else v for v in values]
    low, high = min(scaled), max(scaled)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5

    def place(value: float) -> float:
        at = math.log10(value) if log else value
        return round(start + (at - low) / (high - low) * (end - start), 2)

    found = log_ticks(low, high) if log else linear_ticks(low, high)
    return place, tuple(Tick(place(value), f"{value:.4g}") for value in found)


def linear_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / _WANTED_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone over many decades. Bounds are logarithms."""
    factors = (1, 2, 5) if high - low <= 2.5 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [factor * 10.0**power for power in powers for factor in factors]
    return [v for v in values if low - 1e-9 <= math.log10(v) <= high + 1e-9]
