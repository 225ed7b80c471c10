"""A real trial that lags behind: ended early, with everything that a trial leaves behind."""

import json
import sys
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from optimizer.cli.main import main
from optimizer.config.study import StudyConfig, load_study
from optimizer.demo.layout import lay_out
from optimizer.study.open import load_existing, open_study


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    """The demo's SD1.5 study, its trials of twelve epochs, each scored on few steps."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    list(lay_out(tmp_path))
    path = tmp_path / "studies" / "demo_sd15.toml"
    text = path.read_text().replace("num_inference_steps = 12", "num_inference_steps = 4")
    text = text.replace("num_images_per_prompt = 2", "num_images_per_prompt = 1")
    text = text.replace("n_trials = 10", 'n_trials = 10\nsampler = "random"')
    path.write_text(text + "[scoring.finals]\ntop = 0\n")
    space = tmp_path / "search_spaces" / "demo_sd15.toml"
    space.write_text(space.read_text().replace("low = 4\nhigh = 12", "low = 12\nhigh = 12"))
    return load_study(path)


def out_of_reach() -> FrozenTrial:
    """A trial that did better on its way than any LoRA can, and ended badly all the same."""
    facts = {
        "feasible": True,
        "effective_params": {},
        "checkpoint": "none.safetensors",
        "epoch": 1,
        "objective_se": 0.0,
        "max_train_steps": 1,
    }
    curve = dict.fromkeys(range(1, 41), 2.0)
    return create_trial(value=0.0, intermediate_values=curve, user_attrs=facts)


def test_a_hopeless_trial_ends_early(config: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    open_study(config).add_trials([out_of_reach()] * 5)
    monkeypatch.setattr(sys, "argv", ["optimizer", "run", str(config.path), "--n-trials", "6"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    trial = load_existing(config).trials[-1]
    assert trial.state is TrialState.COMPLETE
    facts = [trial.user_attrs[f"{name}_epochs"] for name in ("planned", "trained")]
    assert facts == [12, 4]
    assert trial.user_attrs["early_stopped"] == trial.last_step == 4
    assert trial.value == max(trial.intermediate_values.values())

    folder = config.folder / f"trial_{trial.number:04d}"
    assert (config.folder / trial.user_attrs["checkpoint"]).is_file()
    assert not (folder / "state").exists()
    result = json.loads((folder / "result.json").read_text())
    assert (result["outcome"], result["early_stopped"]) == ("complete", 4)
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
