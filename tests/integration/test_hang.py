"""A real training that hangs: its worker ends, the next one goes on where its state was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.config.study import StudyConfig, load_study
from optimizer.demo.layout import lay_out
from optimizer.processes import WORN_OUT
from optimizer.study.open import load_existing

WORKER = """
import sys, time
from optimizer.cli.main import main
from optimizer.trial import hang
from optimizer.training.run import Run

hang.HangWatch.__init__.__kwdefaults__["least"] = 4.0
update, hangs_at = Run._update, int(sys.argv[1])

def hanging(self, epoch, plans):
    if self.global_step == hangs_at:
        time.sleep(600)
    return update(self, epoch, plans)

Run._update = hanging
sys.argv = ["optimizer", "worker", sys.argv[2], "--n-trials", "1"]
main()
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    list(lay_out(tmp_path))
    path = tmp_path / "studies" / "demo_sd15.toml"
    text = path.read_text().replace("num_inference_steps = 12", "num_inference_steps = 2")
    path.write_text(text.replace("num_images_per_prompt = 2", "num_images_per_prompt = 1"))
    return load_study(path)


def worker(config: StudyConfig, hangs_at: int) -> int:
    command = [sys.executable, "-c", WORKER, str(hangs_at), str(config.path)]
    return subprocess.run(command, env=dict(os.environ), check=False, timeout=300).returncode


def test_a_hanging_trial_goes_on_in_a_fresh_process(config: StudyConfig) -> None:
    assert worker(config, hangs_at=6) == WORN_OUT
    stacks = (config.folder / "trial_0000" / "hang.txt").read_text()
    assert "in hanging" in stacks
    assert "trial_0000 hangs: nothing moved" in (config.folder / "optimization.log").read_text()

    assert worker(config, hangs_at=-1) == 0
    lost, again = load_existing(config).trials
    assert (lost.state.name, lost.user_attrs["outcome"]) == ("FAIL", "hung")
    assert again.user_attrs["outcome"] == "complete"
    assert again.params == lost.params
    folder = config.folder / "trial_0001"
    assert not (folder / "hang.json").exists()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["global_step"] for line in lines]
    assert steps == list(range(1, steps[-1] + 1))
