"""What optuna-dashboard is given: pictures, notes, figures, and no infeasible winner."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from optuna.trial import TrialState, create_trial
from optuna_dashboard import get_note
from PIL import Image

from optimizer.config.study import StudyConfig
from optimizer.report.audiences import Audiences, Spectator
from optimizer.report.dashboard import HOST, dashboard_server
from optimizer.report.dashboard_notes import DashboardNotes
from optimizer.report.dashboard_storage import artifact_folder
from optimizer.report.pictures import planned_pictures
from optimizer.scoring.health import Health
from optimizer.scoring.objective import Part, Scores
from optimizer.study.open import load_existing
from optimizer.training.results import Checkpoint
from optimizer.trial.outcome import Outcome
from optimizer.trial.scored import ScoredCheckpoint

Make = Callable[..., StudyConfig]
RunTold = Callable[..., object]


@contextmanager
def served(config: StudyConfig) -> Iterator[Callable[[str], bytes]]:
    """Reads from a dashboard that runs meanwhile."""
    with dashboard_server(config, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:

            def get(path: str) -> bytes:
                with urlopen(f"http://{HOST}:{server.server_port}{path}") as answer:
                    return bytes(answer.read())

            yield get
        finally:
            server.shutdown()
            thread.join()


def detail(config: StudyConfig) -> dict[str, Any]:
    with served(config) as get:
        told: dict[str, Any] = json.loads(get("/api/studies/1"))
        return told


class Scoring(Spectator):
    """Scores the second checkpoint of every trial before the trial ends, as the objective does."""

    def __init__(self, config: StudyConfig, notes: DashboardNotes) -> None:
        self.config, self.notes = config, notes

    def trial_began(self, number: int) -> None:
        folder = self.config.folder / f"trial_{number:04d}"
        samples = folder / "samples" / "000004"
        samples.mkdir(parents=True, exist_ok=True)
        for place in range(4):
            Image.new("RGB", (32, 32), (200, 90, 120)).save(samples / f"{place:03d}.png")
        checkpoint = Checkpoint(4, 4, folder / "checkpoints" / "small.safetensors", "0" * 64)
        parts = {"subject": Part(0.5, 0.1)}
        self.notes.scored(
            ScoredCheckpoint(checkpoint, Scores(0.5, 0.1, parts, Health(4, 0, 0, 0), {}))
        )


def run_with_notes(config: StudyConfig, run_told: RunTold, endings: list[float | str]) -> None:
    notes = DashboardNotes(config)
    run_told(config, endings, Audiences((notes, Scoring(config, notes))))


def test_a_trial_shows_its_contact_sheet_and_note(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_with_notes(config, run_told, [0.7])
    with served(config) as get:
        trial = json.loads(get("/api/studies/1"))["trials"][0]
        artifact, *samples = trial["artifacts"]
        assert [one["filename"] for one in trial["artifacts"]][:2] == [
            "epoch_000004.jpg",
            f"epoch_000004_000_seed_{planned_pictures(config)[0].seed}.jpg",
        ]
        assert len(samples) == len(planned_pictures(config))
        assert {one["mimetype"] for one in trial["artifacts"]} == {"image/jpeg"}
        address = f"/artifacts/1/{trial['trial_id']}/{artifact['artifact_id']}"
        assert get(address)[:2] == b"\xff\xd8"
    note = trial["note"]["body"]
    assert "## Objective 0.700 ± 0.010, the best when it ended" in note
    assert f"]({address})" in note
    assert "| learning_rate |" in note


def test_no_lora_among_the_artifacts(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_with_notes(config, run_told, [0.7, 0.8])
    files = list(artifact_folder(config).iterdir())
    assert len(files) == 2 * (1 + len(planned_pictures(config)))
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in files)


def test_the_study_has_a_note_figures_and_a_named_metric(
    make_study: Make, run_told: RunTold
) -> None:
    config = make_study()
    run_with_notes(config, run_told, [0.7, "bad_pictures", 0.4])
    told = detail(config)
    assert "## Best: trial 0, objective 0.700 ± 0.010" in told["note"]["body"]
    assert "| bad_pictures | 1 | it was <bad_pictures> |" in told["note"]["body"]
    assert told["objective_names"] == ["objective"]
    names = {figure["id"] for figure in told["plotly_graph_objects"]}
    assert names == {"history_with_seeds", "learning_rate_and_score", "parts_of_the_score"}
    assert {"key": "clip_i", "sortable": True} in told["union_user_attrs"]


def test_epochs_that_early_stops_saved_are_drawn(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_with_notes(config, run_told, [0.7])
    facts = {"planned_epochs": 10, "trained_epochs": 4}
    load_existing(config).add_trial(create_trial(value=0.1, user_attrs=facts))
    run_with_notes(config, run_told, [0.6])
    figures = {one["id"]: one["graph_object"] for one in detail(config)["plotly_graph_objects"]}
    assert "Early stops saved 6 of 10 epochs" in figures["epochs_saved"]


def test_infeasible_trials_are_marked_and_never_best(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_with_notes(config, run_told, ["bad_pictures", 0.3])
    told = detail(config)
    assert [trial["constraints"] for trial in told["trials"]] == [[1.0], []]
    assert [trial["number"] for trial in told["best_trials"]] == [1]


def test_no_best_while_all_are_infeasible(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_with_notes(config, run_told, ["bad_pictures"])
    assert detail(config)["best_trials"] == []
    # Only shown so: the sampler still learns from it.
    assert load_existing(config).trials[0].state is TrialState.COMPLETE


def test_failed_trials_say_why(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_with_notes(config, run_told, ["RuntimeError", 0.5])
    note = detail(config)["trials"][0]["note"]["body"]
    assert "## No score: RuntimeError" in note
    assert "it was <RuntimeError>" in note


class Broken(Spectator):
    """Fails at everything."""

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        raise OSError("the disk of the notes is full")


def test_what_people_watch_hurts_no_trial(
    make_study: Make, run_told: RunTold, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_study()
    notes = DashboardNotes(config)
    run_told(config, [0.5, 0.6], Audiences((Broken(), notes)))
    said = (
        "Broken could not keep up at trial_ended: the disk of the notes is full; the study goes on"
    )
    assert caplog.text.count(said) == 1  # not for every trial
    assert "Traceback" not in caplog.text
    assert "## Best: trial 1" in get_note(load_existing(config))


class Wrong(Spectator):
    """Has a bug."""

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        raise KeyError("epoch")


def test_a_bug_in_what_people_watch_is_told_with_its_place(
    make_study: Make, run_told: RunTold, caplog: pytest.LogCaptureFixture
) -> None:
    run_told(make_study(), [0.5], Audiences((Wrong(),)))
    assert "Wrong failed at trial_ended (KeyError: 'epoch'), a bug; the study" in caplog.text
    assert "Traceback" in caplog.text


def test_artifacts_survive_in_a_moved_folder(
    make_study: Make, run_told: RunTold, tmp_path: Path
) -> None:
    config = make_study()
    run_with_notes(config, run_told, [0.7])
    config.folder.parent.rename(tmp_path / "moved")
    study = config.study.model_copy(update={"output_dir": tmp_path / "moved"})
    assert detail(config.model_copy(update={"study": study}))["trials"][0]["artifacts"]
