"""Trials of dead workers: found at the next start, by nobody's guess, and run again."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.study.lease import Lease
from optimizer.study.open import open_study, space_of
from optimizer.study.recovery import MOST_RETRIES, recover_orphans
from optimizer.study.seeds import enqueue_seeds, waiting_trials

Make = Callable[..., StudyConfig]
Run = Callable[..., Any]

DYING = """
import os, signal, sys
from pathlib import Path
from optimizer.config.study import load_study
from optimizer.study.lease import Lease
from optimizer.study.open import open_study, space_of
config = load_study(Path(sys.argv[1]))
trial = open_study(config).ask()
trial.set_user_attr("lease", Lease.mine().as_dict())
space_of(config).suggest(trial)
os.kill(os.getpid(), signal.SIGKILL)
"""


def dead() -> Lease:
    """A lease of this machine's boot before."""
    return replace(Lease.mine(), boot_id="an earlier boot")


def begin(study: optuna.Study, lease: Lease | None) -> optuna.Trial:
    trial = study.ask()
    if lease is not None:
        trial.set_user_attr("lease", lease.as_dict())
    return trial


def test_a_killed_workers_trial_is_found_and_run_again_at_once(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    ended = subprocess.run([sys.executable, "-c", DYING, config.path], check=False)
    assert ended.returncode == -signal.SIGKILL
    lost = open_study(config).trials[0]
    assert lost.state is TrialState.RUNNING
    assert run(config).tried[0]["learning_rate"] == lost.params["learning_rate"]
    trials = open_study(config).trials
    assert trials[0].state is TrialState.FAIL
    assert trials[0].user_attrs["outcome"] == "killed"
    assert trials[1].user_attrs["retry_of"] == {"trial": 0, "retries": 1}
    assert [trial.state for trial in trials].count(TrialState.COMPLETE) == 3


def test_a_seed_whose_worker_died_before_drawing_it_is_not_lost(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    enqueue_seeds(study, [{"learning_rate": 3e-4, "network_dim": 8}], space_of(config))
    begin(study, dead())
    assert recover_orphans(study) == [0]
    again = study.ask()
    assert "seed_id" in again.user_attrs
    settings = space_of(config).suggest(again)
    assert (settings.learning_rate, settings.network_dim) == (3e-4, 8)


def test_the_parameters_of_a_dead_trial_are_kept_all(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    settings = space_of(config).suggest(begin(study, dead()))
    recover_orphans(study)
    assert space_of(config).suggest(study.ask()) == settings


@pytest.mark.parametrize(
    "lease",
    [Lease.mine(), replace(Lease.mine(), host="another-host", boot_id="another boot"), None],
    ids=["own", "another host's", "unknown"],
)
def test_trials_that_may_be_alive_are_left_alone(lease: Lease | None, make_study: Make) -> None:
    study = open_study(make_study())
    begin(study, lease)
    assert recover_orphans(study) == []
    assert study.trials[0].state is TrialState.RUNNING
    assert waiting_trials(study) == 0


def test_a_trial_that_kills_its_workers_is_given_up(make_study: Make) -> None:
    study = open_study(make_study())
    for _ in range(MOST_RETRIES + 1):
        begin(study, dead())
        assert len(recover_orphans(study)) == 1
    assert waiting_trials(study) == 0
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * (MOST_RETRIES + 1)


def test_recovering_again_finds_nothing(make_study: Make) -> None:
    study = open_study(make_study())
    begin(study, dead())
    assert len(recover_orphans(study)) == 1
    assert recover_orphans(study) == []
    assert waiting_trials(study) == 1
