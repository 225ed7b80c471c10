"""Trials whose worker died: found, and begun again with what they were to be begun with."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.study.lease import Lease
from optimizer.study.open import open_study, space_of
from optimizer.study.recovery import MOST_RETRIES, fail_and_retry, recover_orphans
from optimizer.study.seeds import enqueue_seeds

Make = Callable[..., StudyConfig]
SEED = {"learning_rate": 3e-4, "network_dim": 8}

DYING = """
import os, signal, sys
from pathlib import Path
from optimizer.config.study import load_study
from optimizer.study.lease import Lease
from optimizer.study.open import open_study
trial = open_study(load_study(Path(sys.argv[1]))).ask()
if sys.argv[2] == "signed":
    trial.set_user_attr("lease", Lease.mine().as_dict())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["signed", "unsigned"])
def test_a_seed_outlives_a_worker_that_died_before_it_asked_for_parameters(
    moment: str, make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    study = open_study(config)
    enqueue_seeds(study, [SEED], space_of(config))
    ended = subprocess.run([sys.executable, "-c", DYING, config.path, moment], check=False)
    assert ended.returncode == -signal.SIGKILL
    lost = study.trials[0]
    assert (lost.state, lost.params) == (TrialState.RUNNING, {})
    assert recover_orphans(study) == [0]
    again = study.ask()
    assert space_of(config).suggest(again).model_dump(include=set(SEED)) == SEED
    assert again.user_attrs["seed_id"] == lost.user_attrs["seed_id"]
    assert enqueue_seeds(study, [SEED], space_of(config))
    assert not study.get_trials(states=(TrialState.WAITING,))


def running(config: StudyConfig) -> FrozenTrial:
    """A trial with parameters, run by this process."""
    study = open_study(config)
    trial = study.ask()
    trial.set_user_attr("lease", Lease.mine().as_dict())
    space_of(config).suggest(trial)
    return study.trials[trial.number]


def test_a_trial_whose_worker_lives_is_left_alone(make_study: Make) -> None:
    config = make_study()
    running(config)
    study = open_study(config)
    assert recover_orphans(study) == []
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]


def test_a_process_that_died_in_recovery_leaves_one_copy(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    trial, study = running(config), open_study(config)
    study.enqueue_trial(trial.params, user_attrs={"retry_of": {"trial": 0, "retries": 1}})
    fail_and_retry(study, trial, "killed", "power loss", counted=True)
    assert [t.state.name for t in study.trials] == ["FAIL", "WAITING"]


def test_being_stopped_uses_up_no_retry_and_failing_does(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    for _ in range(MOST_RETRIES + 1):
        assert fail_and_retry(study, running(config), "interrupted", "Ctrl-C", counted=False)
    for _ in range(MOST_RETRIES):
        assert fail_and_retry(study, running(config), "OSError", "disk", counted=True)
    assert not fail_and_retry(study, running(config), "OSError", "disk", counted=True)
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 1
    assert not study.get_trials(states=(TrialState.WAITING,))
    assert study.trials[-1].user_attrs["reason"] == "disk"


def test_a_trial_that_somebody_ended_does_not_run_again(make_study: Make) -> None:
    config = make_study()
    trial, study = running(config), open_study(config)
    study.tell(trial.number, 0.3)
    assert not fail_and_retry(study, trial, "OSError", "disk", counted=True)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]
