"""Where studies stand, seen while they run, when they are done, and when nothing lives."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import create_trial
from rich.console import Console

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.report.held_cards import HeldCard
from optimizer.report.log_file import last_lines, new_lines
from optimizer.report.status import RunningTrial, StudyStatus, study_status
from optimizer.report.status_view import WatchedStudy, status_table
from optimizer.report.steps import pace
from optimizer.study.lease import Lease
from optimizer.study.look import Onlooker
from optimizer.study.open import open_study
from optimizer.study.turns import sole_runner
from optimizer.trial import attrs

Make = Callable[..., StudyConfig]
RunTold = Callable[..., Any]


def shown(status: StudyStatus) -> str:
    console = Console(width=160, file=StringIO(), record=True)
    console.print(status_table(status))
    return console.export_text()


def write_steps(path: Path, seconds: list[float], total: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for number, one in enumerate(seconds, start=1):
            step = {"epoch": 1, "global_step": number, "max_train_steps": total, "loss": 0.25}
            file.write(json.dumps(step | {"seconds": one}) + "\n")


def test_a_finished_study(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5, 0.7, "bad_pictures"])
    status = study_status(config)
    assert (status.state, status.trials_done, status.seconds_left) == ("done", 3, 0)
    assert status.lead is not None and status.lead.value == pytest.approx(0.2)
    assert status.lead.standard_error == pytest.approx(0.01 * 2**0.5)
    assert status.failures["bad_pictures"].reason == "it was <bad_pictures>"
    assert status.since is not None
    text = shown(status)
    assert "0.200, noise at most 0.014: clear" in text
    assert "1, last trial 2: it was <bad_pictures>" in text


def test_nothing_has_ended_yet(make_study: Make) -> None:
    config = make_study()
    open_study(config)
    status = study_status(config)
    assert (status.state, status.best, status.lead, status.since) == ("not begun", None, None, None)
    text = shown(status)
    assert "0 of 3 done" in text
    assert "study.toml` begins it" in text
    assert "none yet: no trial has ended" in text


def test_all_trials_failed(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, ["bad_pictures", "bad_pictures"])
    assert "none yet: all 2 trials that ended have no score" in shown(study_status(config))


def test_a_study_that_has_not_begun(make_study: Make) -> None:
    config = make_study()
    told = status_command(config.path.parent, "study.toml")
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "study.toml: study small has not begun, its database" in told.stderr
    assert "start it with `optimizer run study.toml`" in told.stderr


def test_a_database_that_is_away_while_it_is_watched(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    view = WatchedStudy(Onlooker(config))
    console = Console(width=160, file=StringIO(), record=True)
    view.look()
    database = config.folder / "optimizer.db"
    kept = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    console.print(view.look_again())
    text = console.export_text()
    assert "1 of 3 done" in text
    assert "for now nothing can be read" in text and "cannot be opened" in text
    database.write_bytes(kept)
    console.print(view.look_again())
    assert "for now" not in console.export_text()


def test_a_worker_between_two_trials(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    with sole_runner(config):
        status = study_status(config)
    assert status.state == "waiting"
    assert "between two trials" in shown(status)
    assert study_status(config).state == "stopped"


def test_what_may_still_be_spent(make_study: Make) -> None:
    config = make_study(study="stop.gpu_hours = 2.0\nstop.patience = 5")
    study = open_study(config)
    facts = {"feasible": True, "objective_se": 0.0, "seconds": 1800.0}
    facts |= {"checkpoint": "a.safetensors", "epoch": 1, "effective_params": {}}
    for value in (0.5, 0.4, 0.3):
        study.add_trial(create_trial(value=value, user_attrs=facts))
    budget = study_status(config).budget
    assert (budget.gpu_hours_spent, budget.since_improvement) == (1.5, 2)
    text = shown(study_status(config))
    assert "0.5 of 2 GPU-hours left; 2 of 5 trials without an improvement" in text


def test_the_deadline_of_a_worker_of_this_machine(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    command = [sys.executable, "-c", "input()", "--deadline", "1800000000.0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as worker:
        started = psutil.Process(worker.pid).create_time()
        lease = Lease.mine().as_dict() | {"pid": worker.pid, "started": started}
        study.ask().set_user_attr(attrs.LEASE, lease)
        status = study_status(config)
        worker.communicate(b"\n")
    expected = datetime.fromtimestamp(1800000000.0).isoformat(sep=" ", timespec="minutes")
    assert status.budget.deadline == expected
    assert f"no trial after {expected}" in shown(status)


def test_a_trial_is_not_over_before_the_others_were(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    study.add_trial(create_trial(value=0.5, user_attrs={"seconds": 7200.0, "feasible": False}))
    study.ask().set_user_attr(attrs.LEASE, Lease.mine().as_dict())
    write_steps(config.folder / "trial_0001" / "metrics.jsonl", [2.0] * 90)
    (trial,) = study_status(config).running
    assert trial.pace is not None and trial.pace.seconds_left == 20
    assert trial.seconds_left == pytest.approx(7200, abs=60)
    assert "about 2.0 h left" in shown(study_status(config))


def test_a_card_that_a_worker_holds(make_study: Make) -> None:
    config = make_study()
    open_study(config)
    status = study_status(config)
    card = HeldCard("GPU 0 (RTX 4070)", 9 * 2**30, 12 * 2**30, 97)
    running = [RunningTrial(4, 60.0, None, None, card)]
    text = shown(replace(status, state="running", running=running))
    assert "GPU 0 (RTX 4070): 9.0 of 12.0 GiB in use, 97% busy" in text


def test_a_disk_that_is_too_small_is_red(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    status = replace(study_status(config), disk_bytes_free=10)
    console = Console(width=160, file=StringIO(), record=True)
    console.print(status_table(status))
    assert "\x1b[31m; 10 B free" in console.export_text(styles=True)


def test_a_running_trial_against_its_own_start(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    study.ask().set_user_attr(attrs.LEASE, Lease.mine().as_dict())
    assert "no step yet" in shown(study_status(config))
    write_steps(
        config.folder / "trial_0000" / "metrics.jsonl", [9.0, 9.0, *[0.5] * 30, *[2.0] * 20]
    )
    status = study_status(config)
    (trial,) = status.running
    assert trial.pace is not None
    assert (trial.pace.global_step, trial.pace.seconds_per_step) == (52, 2.0)
    assert trial.pace.seconds_left == 96
    text = shown(status)
    assert status.state == "running"
    assert "step 52 of 100, loss 0.2500, 2.00 s/step (4.0 times its own start)" in text


def test_a_dead_worker_runs_nothing(make_study: Make) -> None:
    config = make_study()
    gone = Lease.mine().as_dict() | {"started": 0.0, "seen": time.time() + 90}
    open_study(config).ask().set_user_attr(attrs.LEASE, gone)
    status = study_status(config)
    assert (status.state, status.running) == ("stopped", [])
    assert status.since == datetime.fromtimestamp(gone["seen"]).isoformat(" ", "seconds")
    assert "no worker is alive" in shown(status)


def test_time_and_disk_that_are_still_needed(make_study: Make, run_told: RunTold) -> None:
    config = make_study(n_trials=4)
    run_told(config, [0.5, 0.6])
    (config.folder / "large").write_bytes(b"0" * 10_000_000)
    status = study_status(config)
    assert status.mean_trial_seconds is not None
    assert status.seconds_left == pytest.approx(2 * status.mean_trial_seconds)
    assert status.disk_bytes_expected == status.disk_bytes // 2 * 4
    assert "MB when all trials are done" in shown(status)


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert pace(path) is None
    write_steps(path, [1.0] * 5)
    with path.open("a") as file:
        file.write('{"epoch": 9, "glob')
    found = pace(path)
    assert found is not None and found.global_step == 5


def test_a_long_file_is_read_at_both_ends(tmp_path: Path) -> None:
    write_steps(tmp_path / "metrics.jsonl", [1.0] * 4000 + [3.0] * 100, total=5000)
    found = pace(tmp_path / "metrics.jsonl")
    assert found is not None
    assert (found.baseline, found.seconds_per_step, found.global_step) == (1.0, 3.0, 4100)


def status_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "optimizer.cli.main", "status", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_all_studies_of_a_folder(make_study: Make, run_told: RunTold, tmp_path: Path) -> None:
    assert "there are no studies in runs/" in status_command(tmp_path).stderr
    config = make_study()
    run_told(config, [0.5])
    told = json.loads(status_command(tmp_path, "--json").stdout)
    assert told["name"] == "small"
    both = status_command(tmp_path, "runs/small/study.toml", "study.toml", "--json")
    assert [one["trials_done"] for one in json.loads(both.stdout)] == [1, 1]


def test_the_end_of_a_log_and_what_is_added(tmp_path: Path) -> None:
    path = tmp_path / "optimization.log"
    with pytest.raises(StudyError, match="optimizer run"):
        last_lines(path, 2)
    path.write_text("one\nzwei 怪物\nthree\n", encoding="utf-8")
    text, end = last_lines(path, 2)
    assert text == "zwei 怪物\nthree\n"
    assert last_lines(path, 0)[0] == ""
    with path.open("a") as file:
        file.write("four\n")
    assert next(new_lines(path, end)) == "four\n"


def test_brackets_in_a_reason_are_words(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, ["[red]bad"])
    assert "it was <[red]bad>" in shown(study_status(config))


def test_watching_redraws_in_a_terminal_until_stopped(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "optimizer.cli.main", "status", str(config.path), "--watch"]
    watching = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = read_until(ours, "1 of 3 done")
    run_told(config, [0.6, 0.7])
    screen += read_until(ours, "3 of 3 done")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(30) == 0
    assert "\x1b[1A" in screen  # the cursor went back up


def read_until(terminal: int, words: str) -> str:
    """What a program writes to its terminal, until these words stand there."""
    text = ""
    while words not in text:
        text += os.read(terminal, 4096).decode(errors="replace")
    return text


def test_what_early_stops_saved(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    assert "early stops" not in shown(study_status(config))
    for trained in (10, 4, 2):
        facts = {"planned_epochs": 10, "trained_epochs": trained}
        study.add_trial(create_trial(value=0.5, user_attrs=facts))
    assert study_status(config).epochs == (16, 30)
    assert "saved 14 of 30 epochs (47%)" in shown(study_status(config))
