"""Studies that were broken on purpose, each in one way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from optimizer.config.study import StudyConfig
from optimizer.files import write_json
from optimizer.storage import disk
from optimizer.study.doctor import Finding, examine, put_right
from optimizer.study.lease import Lease
from optimizer.study.open import load_existing, open_study, space_of
from optimizer.study.stopping import stop_file

Make = Callable[..., StudyConfig]
Run = Callable[..., Any]
DEAD = {"pid": 2**22 + 1, "since": 100.0, "seen": 107.5}


@pytest.fixture
def config(make_study: Make, run_values: Run, database: str | None) -> StudyConfig:
    """A healthy study of three trials, their LoRA files in place."""
    made = make_study(storage=database)
    run_values(made, [0.2, 0.6, 0.4])
    for number in range(3):
        lora = made.folder / f"trial_{number:04d}" / "checkpoints" / "small.safetensors"
        lora.parent.mkdir(parents=True)
        lora.write_bytes(b"a LoRA")
    return made


def problems(config: StudyConfig) -> list[Finding]:
    return [f for f in examine(config, load_existing(config)) if f.level == "problem"]


def the_problem(config: StudyConfig, check: str, sentence: str) -> Finding:
    (found,) = problems(config)
    assert found.check == check
    assert sentence in found.sentence
    return found


def running(config: StudyConfig, **lease: Any) -> optuna.Trial:
    trial = open_study(config).ask()
    trial.set_user_attr("lease", Lease.mine().as_dict() | lease)
    space_of(config).suggest(trial)
    return trial


def test_a_healthy_study_is_well(config: StudyConfig) -> None:
    found = list(examine(config, load_existing(config)))
    assert {finding.level for finding in found} == {"ok"}
    assert "best_params.json is of the best trial, 1" in {f.sentence for f in found}


def test_an_orphan_is_found_and_begun_again(config: StudyConfig) -> None:
    running(config, **DEAD)
    found = the_problem(config, "orphans", "the worker of trial 3 is dead")
    assert put_right(config, [found]) == [found.sentence]
    lost, again = load_existing(config).trials[3:]
    assert (lost.state, again.state) == (TrialState.FAIL, TrialState.WAITING)
    assert not problems(config)


def test_a_living_workers_trial_is_left_alone(config: StudyConfig) -> None:
    running(config)
    assert not problems(config)
    put_right(config, list(examine(config, load_existing(config))))
    assert load_existing(config).trials[3].state is TrialState.RUNNING


def test_an_untold_result_is_found_and_told(config: StudyConfig) -> None:
    trial = running(config, **DEAD)
    told = {"outcome": "complete", "reason": "", "value": 0.5, "epoch": 1, "objective_se": 0.1}
    told |= {"checkpoint": "trial_0000/checkpoints/small.safetensors", "effective_params": {}}
    write_json(config.folder / f"trial_{trial.number:04d}" / "result.json", told)
    found = problems(config)
    assert {finding.check for finding in found} == {"orphans", "results"}
    put_right(config, sorted(found, key=lambda f: f.check, reverse=True))
    assert load_existing(config).trials[3].value == 0.5
    assert not problems(config)


def test_a_seed_enqueued_twice_is_found(config: StudyConfig) -> None:
    study = open_study(config)
    for _ in range(2):
        study.enqueue_trial({"network_dim": 8}, user_attrs={"seed_id": "network_dim=8"})
    the_problem(config, "duplicates", "enqueued more than once: network_dim=8")


def test_settings_tried_twice_are_only_noted(config: StudyConfig) -> None:
    study = open_study(config)
    first = study.trials[0]
    study.add_trial(
        create_trial(
            value=0.2,
            params=first.params,
            distributions=first.distributions,
            user_attrs=first.user_attrs,
        )
    )
    (note,) = (f for f in examine(config, load_existing(config)) if f.level == "note")
    assert "1 trials repeat the settings of others" in note.sentence


def test_lost_and_strange_files_are_found(config: StudyConfig) -> None:
    (config.folder / "trial_0002" / "checkpoints" / "small.safetensors").unlink()
    the_problem(config, "folders", "the LoRA files of trials 2 are gone")
    (config.folder / "trial_0009").mkdir()
    assert {finding.sentence.partition(":")[0] for finding in problems(config)} >= {
        "folders of trials that are not in the database"
    }


@pytest.mark.parametrize("how", ["missing", "of another trial"])
def test_wrong_best_params_are_written_anew(config: StudyConfig, how: str) -> None:
    path = config.folder / "best_params.json"
    right = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        write_json(path, {"learning_rate": 1e-4, "_study": {"trial": 0, "epoch": 1}})
    found = the_problem(config, "best", "best_params.json is")
    put_right(config, [found])
    assert path.read_bytes() == right


def test_a_stop_file_left_over_is_removed(config: StudyConfig) -> None:
    stop_file(config.folder).touch()
    found = the_problem(config, "stop", "STOP is left over")
    put_right(config, [found])
    assert not stop_file(config.folder).exists()


def test_a_full_disk_is_said(config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MARGIN_BYTES", 2**60)
    assert the_problem(config, "disk", "make room and run again").fix is None


def test_changed_settings_are_said(config: StudyConfig) -> None:
    scoring = config.scoring.model_copy(update={"preset": "style"})
    changed = config.model_copy(update={"scoring": scoring})
    assert the_problem(changed, "settings", "was made with another scoring").fix is None


def test_a_slow_place_is_said(
    make_study: Make, run_values: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_study()
    run_values(made)
    monkeypatch.setattr("optimizer.study.doctor.slow_place", lambda folder: f"{folder} is slow")
    assert {f.check for f in problems(made)} == {"folders", "place"}


def test_reading_changes_nothing(make_study: Make, run_values: Run) -> None:
    made = make_study()
    run_values(made)
    before = contents(made.folder)
    list(examine(made, load_existing(made)))
    assert contents(made.folder) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
