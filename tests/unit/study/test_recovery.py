"""Trials whose worker died: found, and begun again with what they were to be begun with."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.files import write_json
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
    assert recover_orphans(study, config.folder) == [0]
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


def killed(config: StudyConfig) -> FrozenTrial:
    """A trial whose worker died, some seconds after it began."""
    trial = running(config)
    lease = Lease.mine().as_dict() | {"pid": 2**22 + 1, "since": 100.0, "seen": 107.5}
    open_study(config)._storage.set_trial_user_attr(trial._trial_id, "lease", lease)
    return trial


def test_a_hanging_trial_is_told_from_a_killed_one_and_begun_again_once(make_study: Make) -> None:
    config = make_study()
    for number in range(3):
        assert killed(config).number == number
        note = config.folder / f"trial_{number:04d}" / "hang.json"
        write_json(note, {"reason": "nothing moved for 10 minutes"})
        recover_orphans(open_study(config), config.folder)
    first, second, third, _ = open_study(config).trials
    assert {trial.user_attrs["outcome"] for trial in (first, second, third)} == {"hung"}
    assert first.user_attrs["reason"] == "nothing moved for 10 minutes"
    assert second.user_attrs["retry_of"]["trials"] == [0]
    assert "retry_of" not in third.user_attrs


def test_a_dead_workers_time_counts_up_to_its_last_sign_of_life(make_study: Make) -> None:
    config = make_study()
    killed(config)
    recover_orphans(open_study(config), config.folder)
    lost = open_study(config).trials[0]
    assert (lost.user_attrs["outcome"], lost.user_attrs["seconds"]) == ("killed", 7.5)


def test_a_worker_of_another_host_is_dead_after_a_long_silence(make_study: Make) -> None:
    config = make_study()
    trial, study = running(config), open_study(config)
    for silence, found in ((60.0, []), (3600.0, [0])):
        lease = Lease.mine().as_dict() | {"host": "elsewhere", "seen": time.time() - silence}
        study._storage.set_trial_user_attr(trial._trial_id, "lease", lease)
        assert recover_orphans(study, config.folder) == found


def test_a_trial_whose_worker_lives_is_left_alone(make_study: Make) -> None:
    config = make_study()
    running(config)
    study = open_study(config)
    assert recover_orphans(study, config.folder) == []
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]


def test_a_process_that_died_in_recovery_leaves_one_copy(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    trial, study = running(config), open_study(config)
    study.enqueue_trial(trial.params, user_attrs={"retry_of": {"trials": [0], "retries": 1}})
    fail_and_retry(study, trial, "killed", "power loss", cost=1)
    assert [t.state.name for t in study.trials] == ["FAIL", "WAITING"]


def test_being_stopped_uses_up_no_retry_and_failing_does(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    for _ in range(MOST_RETRIES + 1):
        assert fail_and_retry(study, running(config), "interrupted", "Ctrl-C", cost=0)
    for _ in range(MOST_RETRIES):
        assert fail_and_retry(study, running(config), "OSError", "disk", cost=1)
    assert not fail_and_retry(study, running(config), "OSError", "disk", cost=1)
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 1
    assert not study.get_trials(states=(TrialState.WAITING,))
    assert study.trials[-1].user_attrs["reason"] == "disk"


def test_a_trial_that_somebody_ended_does_not_run_again(make_study: Make) -> None:
    config = make_study()
    trial, study = running(config), open_study(config)
    study.tell(trial.number, 0.3)
    assert not fail_and_retry(study, trial, "OSError", "disk", cost=1)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]
