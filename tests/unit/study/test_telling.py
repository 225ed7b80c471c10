"""Results reach the database, whatever dies or goes away in between."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from optimizer.config.study import StudyConfig
from optimizer.study.loop import StudyResult
from optimizer.study.open import open_study
from optimizer.study.results import best_trial, counted_trials
from optimizer.study.telling import tell
from optimizer.trial.intermediate import report_value
from optimizer.trial.outcome import Outcome

Make = Callable[..., StudyConfig]
Run = Callable[..., StudyResult]

DYING = """
import json, os, signal, sys
from pathlib import Path
from optimizer.config.study import load_study
from optimizer.study.lease import Lease
from optimizer.study.open import open_study, space_of
config = load_study(Path(sys.argv[1]))
trial = open_study(config).ask()
trial.set_user_attr("lease", Lease.mine().as_dict())
space_of(config).suggest(trial)
folder = config.folder / "trial_0000"
folder.mkdir(parents=True)
(folder / "result.json").write_text(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""

RESULT = {
    "outcome": "complete",
    "reason": "",
    "value": 0.8,
    "device": "a card",
    "effective_params": {"learning_rate": 1e-4},
    "checkpoint": "trial_0000/checkpoints/small.safetensors",
    "epoch": 4,
    "objective_se": 0.02,
}


def die_after(config: StudyConfig, result: dict[str, Any]) -> None:
    command = [sys.executable, "-c", DYING, str(config.path), json.dumps(result)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_a_result_that_a_killed_worker_wrote_is_not_trained_again(
    make_study: Make, database: str | None, run_values: Run
) -> None:
    config = make_study(storage=database)
    die_after(config, RESULT)
    result = run_values(config)
    assert result.new_trials == 2
    first = result.study.trials[0]
    assert (first.state.name, first.value) == ("COMPLETE", 0.8)
    assert first.user_attrs["feasible"] is True
    assert len(result.study.trials) == 3
    best = json.loads((config.folder / "best_params.json").read_text())
    assert (best["learning_rate"], best["_study"]["trial"]) == (1e-4, 0)


def test_what_a_killed_worker_wrote_of_a_failure_is_run_again(
    make_study: Make, run_values: Run
) -> None:
    config = make_study()
    die_after(config, RESULT | {"outcome": "interrupted", "value": None})
    assert run_values(config).new_trials == 3
    assert open_study(config).trials[1].user_attrs["retry_of"] == {"trials": [0], "retries": 1}


def asked(study: optuna.Study) -> FrozenTrial:
    number = study.ask().number
    return study.trials[number]


def test_telling_twice_is_telling_once(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    study, folder = open_study(config), config.folder
    facts = {key: RESULT[key] for key in ("checkpoint", "epoch")}
    outcomes = [
        Outcome("complete", "complete", value=0.5, attributes=facts),
        Outcome("infeasible", "bad_pictures", "all black"),
        Outcome("refused", "infeasible", "a rule"),
    ]
    for number, outcome in enumerate(outcomes):
        trial = asked(study)
        numbers = [tell(study, trial, outcome, folder) for _ in range(2)]
        assert numbers == [number, number]
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert [trial.value for trial in counted_trials(study)] == [0.5, 0.0]


def test_failed_trials_keep_what_is_known_of_them(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    for state in ("failed", "interrupted"):
        trial = asked(study)
        outcome = Outcome(state, "OSError", "disk", attributes={"seconds": 7.5})
        tell(study, trial, outcome, config.folder)
    facts = [t.user_attrs for t in study.trials if t.state is TrialState.FAIL]
    assert [(f["outcome"], f["reason"], f["seconds"]) for f in facts] == [
        ("OSError", "disk", 7.5)
    ] * 2


def test_a_database_that_went_away_in_mid_trial_gets_the_result_when_it_is_back(
    make_study: Make, postgres_database: str, run_values: Run, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_study(storage=postgres_database)
    url = make_url(postgres_database).set(drivername="postgresql+psycopg")
    server = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def allow(allowed: bool) -> None:
        with server.connect() as connection:
            connection.execute(
                text(f"ALTER DATABASE {url.database} WITH ALLOW_CONNECTIONS {allowed}")
            )
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :d"),
                {"d": url.database},
            )

    def cut_off(trial: optuna.Trial, count: int) -> None:
        if count == 1:
            allow(False)
            report_value(trial, 0.5, 1)
            threading.Timer(0.5, allow, [True]).start()

    result = run_values(config, [0.4, 0.6, 0.5], during=cut_off)
    assert [trial.value for trial in result.study.trials] == [0.4, 0.6, 0.5]
    best = best_trial(result.study, config.folder)
    assert best is not None
    assert best.number == 1
    assert "is untold" in caplog.text
    assert "not currently accepting connections" in caplog.text
    server.dispose()


def test_a_trial_ended_from_outside_is_recorded_anew_once(make_study: Make) -> None:
    """Also where it was told the very value that it then has."""
    config = make_study()
    study = open_study(config)
    trial = asked(study)
    study.tell(trial.number, 0.5)
    outcome = Outcome("complete", "complete", value=0.5, attributes={"epoch": 4})
    assert [tell(study, trial, outcome, config.folder) for _ in range(2)] == [1, 1]
    assert [t.number for t in counted_trials(study)] == [1]
