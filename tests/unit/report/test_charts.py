"""Axes and points of the small charts."""

import pytest

from optimizer.report.charts import HEIGHT, LEFT, WIDTH, Marker, Point, linear_ticks, log_ticks
from optimizer.report.charts import scatter as chart_of


def point(x: float, y: float, kind: str = "drawn") -> Point:
    return Point(x, y, y - 0.1, y + 0.1, kind, f"at {x}")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.81, 0.99, [0.85, 0.9, 0.95]),
        (3.0, 47.0, [10, 20, 30, 40]),
    ],
)
def test_linear_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert linear_ticks(low, high) == pytest.approx(ticks)


def test_log_ticks_thin_out_over_many_decades() -> None:
    assert log_ticks(-4, -3) == pytest.approx([1e-4, 2e-4, 5e-4, 1e-3])
    assert log_ticks(-6, -2) == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])


def test_higher_objectives_stand_higher_and_all_stay_inside() -> None:
    chart = chart_of("t", "d", [point(0, 0.2), point(1, 0.9)], x_title="trial")
    low, high = chart.marks
    assert high.y < low.y
    assert all(
        LEFT <= mark.x <= WIDTH and 0 <= mark.high <= mark.low < HEIGHT for mark in chart.marks
    )


def test_intervals_end_where_the_objective_does() -> None:
    chart = chart_of("t", "d", [point(0, 0.98), point(1, 0.02)], x_title="trial")
    places = {tick.text: tick.place for tick in chart.y_ticks}
    assert (chart.marks[0].high, chart.marks[1].low) == (places["1"], places["0"])


def test_the_line_only_ever_rises() -> None:
    points = [point(0, 0.5), point(1, 0.3), point(2, 0.8), point(3, 0.6)]
    chart = chart_of("t", "d", points, x_title="trial", best_so_far=True)
    heights = [float(corner.split(",")[1]) for corner in chart.line.split()]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 2


def test_one_point_stands_in_the_middle() -> None:
    mark = chart_of("t", "d", [point(1e-4, 0.5)], x_title="rate", log_x=True).marks[0]
    assert mark.x == pytest.approx((LEFT + 10 + WIDTH - 26) / 2)


def test_markers_widen_the_axis() -> None:
    chart = chart_of(
        "t", "d", [point(1e-4, 0.5)], x_title="rate", log_x=True, markers=[Marker(1e-3, "source")]
    )
    assert chart.markers[0].place > chart.marks[0].x
