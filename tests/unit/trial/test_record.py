"""A trial's folder: what is written is read back, and an interrupted trial is taken over."""

import json
from pathlib import Path

import pytest

from optimizer.trial.record import TrialFolder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "small"


def interrupted(study: Path, number: int) -> TrialFolder:
    """A trial with a state to go on from, a checkpoint and some steps."""
    folder = TrialFolder(study, number)
    for path in (folder.state / "position.json", folder.checkpoints / "small-000002.safetensors"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    folder.append_step({"step": 1, "loss": 0.5})
    return folder


def test_a_trials_folder_has_optunas_number(study: Path) -> None:
    assert TrialFolder(study, 7).path == study / "trial_0007"
    assert TrialFolder(study, 12345).path == study / "trial_12345"
    assert (study / "trial_0007").is_dir()


def test_checkpoints_and_their_pictures_have_their_places(study: Path) -> None:
    folder = TrialFolder(study, 1)
    assert folder.checkpoints == folder.path / "checkpoints"
    assert folder.samples(2) == folder.path / "samples" / "000002"


def test_paths_are_stored_relative_to_the_study_which_may_be_moved(study: Path) -> None:
    folder = TrialFolder(study, 1)
    stored = folder.relative(folder.checkpoints / "small.safetensors")
    assert stored == "trial_0001/checkpoints/small.safetensors"


def test_what_is_written_is_read_back(study: Path) -> None:
    folder = TrialFolder(study, 1)
    folder.write("params.json", {"learning_rate": 7.1e-5, "note": "größer"})
    folder.write("params.json", {"learning_rate": 3e-5})
    assert folder.read("params.json") == {"learning_rate": 3e-5}
    assert [path.name for path in folder.path.iterdir()] == ["params.json"], "no temporary files"


def test_steps_are_a_line_each(study: Path) -> None:
    folder = TrialFolder(study, 1)
    steps = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    for step in steps:
        folder.append_step(step)
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == steps


def test_an_interrupted_trial_is_taken_over_with_all_its_files(study: Path) -> None:
    earlier = interrupted(study, 3)
    folder = TrialFolder(study, 4)
    folder.take_over([3])
    assert (folder.state / "position.json").read_text() == "position.json"
    assert (folder.checkpoints / "small-000002.safetensors").exists()
    assert (folder.path / "metrics.jsonl").read_text() == (
        earlier.path / "metrics.jsonl"
    ).read_text()
    assert not earlier.state.exists(), "two trials may not go on from one state"
    assert (earlier.checkpoints / "small-000002.safetensors").exists()


def test_an_attempt_that_died_while_it_took_over_is_passed_by(study: Path) -> None:
    """Half of the files were copied, the state was not moved."""
    interrupted(study, 3)
    TrialFolder(study, 4).append_step({"global_step": 1})
    folder = TrialFolder(study, 5)
    folder.take_over([3, 4])
    assert (folder.state / "position.json").exists()
    assert (folder.checkpoints / "small-000002.safetensors").exists()


def test_a_trial_without_a_state_is_begun_anew(study: Path) -> None:
    interrupted(study, 3).forget_state()
    folder = TrialFolder(study, 4)
    folder.take_over([3])
    folder.take_over([99])
    assert not list(folder.path.iterdir())


def test_a_finished_trial_forgets_its_state_and_nothing_else(study: Path) -> None:
    folder = interrupted(study, 1)
    folder.forget_state()
    folder.forget_state()
    assert not folder.state.exists()
    assert (folder.checkpoints / "small-000002.safetensors").exists()


def test_steps_after_a_state_are_dropped(study: Path) -> None:
    """The run that goes on from there will write them again."""
    folder = TrialFolder(study, 1)
    folder.keep_steps(3)  # nothing is there yet
    for number in range(1, 6):
        folder.append_step({"global_step": number})
    folder.keep_steps(3)
    folder.append_step({"global_step": 4})
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["global_step"] for line in lines] == [1, 2, 3, 4]
