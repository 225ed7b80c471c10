"""When a search is said to have stopped improving, and the files that say it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, create_trial

from optimizer.study.convergence import progress, remove_alert, write_alert, write_monitor
from optimizer.study.results import BestTrial


def trials(*values: float | None, noise: float = 0.02, **facts: Any) -> list[FrozenTrial]:
    """Trials that ended a minute apart; None is an infeasible one."""
    made = []
    for number, value in enumerate(values):
        attributes = {"feasible": value is not None, "objective_se": noise} | facts
        trial = create_trial(value=value or 0.0, user_attrs=attributes)
        trial.number = number
        trial.datetime_complete = datetime(2026, 11, 23) + timedelta(minutes=number)
        made.append(trial)
    return made


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ([0.5, 0.6, 0.7], [0, 0, 0]),
        ([0.5, 0.51, 0.519], [0, 1, 2]),
        ([0.5, 0.51, 0.525], [0, 1, 0]),
        ([0.5, 0.4, None, 0.45], [0, 1, 2, 3]),
        ([None, None, 0.1, None], [1, 2, 0, 1]),
    ],
)
def test_only_what_exceeds_the_noise_is_an_improvement(
    values: list[float | None], since: list[int]
) -> None:
    assert [row.since_improvement for row in progress(trials(*values))] == since


def test_small_steps_upwards_are_an_improvement_together() -> None:
    rows = progress(trials(*(0.5 + 0.008 * k for k in range(7))))
    assert [row.since_improvement for row in rows] == [0, 1, 2, 0, 1, 2, 0]


def test_the_best_so_far_may_lie_within_the_noise() -> None:
    rows = progress(trials(0.5, 0.51, 0.4))
    assert [(row.best, row.best_number) for row in rows] == [(0.5, 0), (0.51, 1), (0.51, 1)]


def test_seeds_use_up_no_patience() -> None:
    seeds = trials(0.5, 0.4, 0.3, seed_id="a")
    drawn = trials(0.1, 0.1, 0.1, 0.2, 0.2)[3:]
    assert [row.since_improvement for row in progress([*seeds, *drawn])] == [0, 0, 0, 1, 2]


def test_trials_count_in_the_order_they_ended() -> None:
    late, early = trials(0.5, 0.7)
    late.datetime_complete, early.datetime_complete = (
        early.datetime_complete,
        late.datetime_complete,
    )
    assert [row.number for row in progress([late, early])] == [1, 0]


def test_monitor_holds_a_line_a_trial(tmp_path: Path) -> None:
    write_monitor(tmp_path, progress(trials(None, 0.5, 0.51)))
    write_monitor(tmp_path, progress(trials(None, 0.5, 0.51)))
    lines = (tmp_path / "convergence_monitor.log").read_text().splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "trial 0 value infeasible best so far none trials since improvement 1",
        "trial 1 value 0.5000 best so far 0.5000 (trial 1) trials since improvement 0",
        "trial 2 value 0.5100 best so far 0.5100 (trial 2) trials since improvement 1",
    ]


def test_alert_names_the_best_trial_in_the_line_that_scripts_look_for(tmp_path: Path) -> None:
    best = BestTrial(7, 0.613, 0.021, {}, tmp_path / "trial_0007" / "a.safetensors", 6)
    write_alert(tmp_path, best, "no improvement")
    text = (tmp_path / "CONVERGENCE_ALERT.txt").read_text()
    assert [line for line in text.splitlines() if "Best trial:" in line] == ["Best trial: Trial 7"]
    assert "Why: no improvement" in text
    remove_alert(tmp_path)
    remove_alert(tmp_path)
    assert not (tmp_path / "CONVERGENCE_ALERT.txt").exists()


def test_alert_without_a_usable_trial_says_so(tmp_path: Path) -> None:
    write_alert(tmp_path, None, "no improvement")
    assert "Best trial: none" in (tmp_path / "CONVERGENCE_ALERT.txt").read_text()
