"""A study stops at the first rule that holds, says why, and stays stopped until told otherwise."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, create_trial

from optimizer.config.study import StopConfig, StudyConfig
from optimizer.errors import StudyError, StudyStoppedError
from optimizer.report.status import study_status
from optimizer.study.lease import Lease
from optimizer.study.loop import Objective, StudyResult
from optimizer.study.open import open_study
from optimizer.study.runner import run_study
from optimizer.study.stopping import Stop, Stopping, ask_to_stop, forget_stop, stop_file

Make = Callable[..., StudyConfig]
Run = Callable[..., StudyResult]


def ahead(**span: float) -> datetime:
    return datetime.now().astimezone() + timedelta(**span)


def study_of(*hours: float, **facts: Any) -> optuna.Study:
    """A study whose trials took so many hours."""
    study = optuna.create_study(direction="maximize")
    for taken in hours:
        attributes = {"feasible": True, "seconds": taken * 3600, "objective_se": 0.1} | facts
        study.add_trial(create_trial(value=0.5, user_attrs=attributes))
    return study


def check(
    folder: Path, study: optuna.Study, *, deadline: datetime | None = None, **rules: Any
) -> Stop | None:
    return Stopping(StopConfig(**rules), folder, 50, deadline).check(study)


def test_nothing_stops_a_study_without_rules(tmp_path: Path) -> None:
    assert check(tmp_path, study_of(*[100.0] * 49)) is None


@pytest.mark.parametrize(
    ("left", "stops"), [({"hours": 3}, False), ({"minutes": 90}, True), ({"hours": -1}, True)]
)
def test_no_trial_is_begun_that_would_outlast_the_deadline(
    left: dict[str, float], stops: bool, tmp_path: Path
) -> None:
    # Two hours is the median; one trial that hung for a day does not end the night.
    stop = check(tmp_path, study_of(1.0, 2.0, 24.0), deadline=ahead(**left))
    assert (stop is not None and stop.kind == "deadline") == stops


def test_the_deadline_says_what_is_left_and_what_a_trial_takes(tmp_path: Path) -> None:
    stop = check(tmp_path, study_of(3.0), deadline=ahead(minutes=90.4))
    assert stop is not None
    assert "leaves 90 minutes and a trial takes about 3.0 hours" in stop.sentence


def test_the_first_trial_is_begun_before_any_deadline(tmp_path: Path) -> None:
    assert check(tmp_path, study_of(), deadline=ahead(minutes=1)) is None
    stop = check(tmp_path, study_of(), deadline=ahead(minutes=-1))
    assert stop is not None
    assert "has come" in stop.sentence


def test_trials_that_ended_early_do_not_make_others_look_quick(tmp_path: Path) -> None:
    study = study_of(2.0)
    for _ in range(3):
        study.add_trial(create_trial(value=0.0, user_attrs={"feasible": False, "seconds": 1.0}))
    assert check(tmp_path, study, deadline=ahead(hours=1)) is not None


def test_timeout_runs_from_now_and_an_explicit_deadline_wins(tmp_path: Path) -> None:
    assert check(tmp_path, study_of(2.0), timeout="90m") is not None
    assert check(tmp_path, study_of(2.0), timeout="3h") is None
    assert check(tmp_path, study_of(2.0), timeout="90m", deadline=ahead(hours=3)) is None


@pytest.mark.parametrize(("budget", "stops"), [(10, False), (9, False), (8.9, True), (5, True)])
def test_a_gpu_budget_is_never_exceeded_by_a_trial_that_can_be_foreseen(
    budget: float, stops: bool, tmp_path: Path
) -> None:
    stop = check(tmp_path, study_of(3.0, 3.0), gpu_hours=budget)
    assert (stop is not None and stop.kind == "gpu_hours") == stops


def test_failed_trials_cost_gpu_hours_too(tmp_path: Path) -> None:
    study = study_of(1.0)
    study.add_trial(
        create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"seconds": 3 * 3600.0})
    )
    stop = check(tmp_path, study, gpu_hours=4.5)
    assert stop is not None
    assert "4.0 hours are spent" in stop.sentence


def test_patience_stops_the_run_with_an_alert_and_the_next_one_too(
    make_study: Make, database: str | None, run_values: Run
) -> None:
    config = make_study(storage=database, n_trials=9).with_patience(2)
    result = run_values(config, [0.3, 0.6, 0.65, 0.5], standard_error=0.1)
    assert (result.new_trials, result.interrupted) == (4, False)
    assert "no improvement beyond the measured noise in 2 trials" in result.stop_reason
    alert = config.folder / "CONVERGENCE_ALERT.txt"
    assert "Best trial: Trial 2\n" in alert.read_text()
    assert study_status(config).stop_reason == result.stop_reason

    again = run_values(config)
    assert again.new_trials == 0
    assert "run again with --patience 0" in again.stop_reason
    assert alert.exists()

    assert run_values(config.with_patience(0)).new_trials == 5
    assert not alert.exists()
    assert len((config.folder / "convergence_monitor.log").read_text().splitlines()) == 9


def test_models_are_not_loaded_for_a_study_that_stops_at_once(
    make_study: Make, audience: Any
) -> None:
    def load() -> Objective:
        pytest.fail("loaded")

    result = run_study(make_study(), load, audience, deadline=ahead(hours=-1))
    assert result.study.user_attrs["stop_reason"] == result.stop_reason
    assert "has come" in result.stop_reason


def test_a_study_asked_to_stop_ends_after_its_trial_and_runs_again_when_told(
    make_study: Make, database: str | None, run_values: Run
) -> None:
    config = make_study(storage=database)
    said: list[str] = []

    def ask(trial: optuna.Trial, count: int) -> None:
        said.append(ask_to_stop(config))

    first = run_values(config, during=ask)
    assert said == ["study small stops after trial 0"]
    assert (first.new_trials, first.interrupted) == (1, False)
    assert "`optimizer stop`" in first.stop_reason
    # A worker in the place of one that died has not been told to go on.
    assert run_values(config).new_trials == 0
    forget_stop(config)
    second = run_values(config)
    assert second.new_trials == 2
    assert "3 trials are done" in second.stop_reason


def test_a_study_that_does_not_run_cannot_be_stopped(make_study: Make, run_values: Run) -> None:
    config = make_study()
    with pytest.raises(StudyError, match="no study there yet"):
        ask_to_stop(config)
    run_values(config)
    with pytest.raises(StudyError, match="study small is not running"):
        ask_to_stop(config)
    assert not stop_file(config.folder).exists()


def test_the_reason_is_kept_while_stopped_and_gone_while_running(
    make_study: Make, run_values: Run
) -> None:
    config = make_study(n_trials=2)
    reasons: list[Any] = []

    def look(trial: optuna.Trial, count: int) -> None:
        reasons.append(open_study(config).user_attrs["stop_reason"])

    run_values(config, n_trials=1)
    assert "1 trials are done" in open_study(config).user_attrs["stop_reason"]
    run_values(config, during=look)
    assert reasons == [None]


def test_a_disk_without_room_stops_the_study_before_its_next_trial(
    make_study: Make, run_values: Run
) -> None:
    config = make_study()

    def fill(trial: optuna.Trial, count: int) -> None:
        # A file with a hole: large to look at, empty on the disk.
        folder = config.folder / f"trial_{trial.number:04d}"
        folder.mkdir()
        with (folder / "large").open("wb") as file:
            file.truncate(2**43)

    with pytest.raises(StudyStoppedError, match=r"the largest so far took 8192\.00\); nothing"):
        run_values(config, during=fill)
    study = open_study(config)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"]
    assert "make room and run again" in study.user_attrs["stop_reason"]
    (config.folder / "trial_0000" / "large").unlink()
    assert run_values(config).new_trials == 2


def test_a_trial_that_ends_while_the_rules_are_asked_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of()
    trial, look = study.ask(), study.get_trials
    now = time.time()
    trial.set_user_attr("lease", asdict(Lease("elsewhere", "boot", 1, now, now, now)))

    def look_and_end(*given: Any, **named: Any) -> list[FrozenTrial]:
        seen = look(*given, **named)
        trial.set_user_attr("feasible", True)
        study.tell(trial, 0.5)
        monkeypatch.undo()
        return seen

    monkeypatch.setattr(study, "get_trials", look_and_end)
    stop = Stopping(StopConfig(), tmp_path, 1, None).check(study)
    assert stop is not None
    assert "other workers have begun the other 1" in stop.sentence
