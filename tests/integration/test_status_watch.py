"""`optimizer status --watch` in a real terminal: while a worker trains, and after it was killed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import psutil
import pytest

from optimizer.config.study import StudyConfig, load_study
from optimizer.study.open import open_study, space_of

pytestmark = pytest.mark.slow

OPTIMIZER = [sys.executable, "-m", "optimizer.cli.main"]
FINISHED = 50
PATIENCE_SECONDS = 60
"""For whatever is awaited: models load in the meantime."""


def finish_trials(config: StudyConfig) -> None:
    """Fifty trials as a worker leaves them in the database."""
    study, space = open_study(config), space_of(config)
    for number in range(FINISHED):
        trial = study.ask()
        settings = space.suggest(trial)
        facts = {
            "feasible": True,
            "outcome": "complete",
            "effective_params": settings.model_dump(include=set(config.space.parameters)),
            "checkpoint": f"trial_{number:04d}/checkpoints/{config.name}.safetensors",
            "epoch": 4,
            "objective_se": 0.01,
            "seconds": 30.0,
        }
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        study.tell(trial, number / 100)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A demo study with fifty finished trials and more to come."""
    subprocess.run([*OPTIMIZER, "demo", str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    path = tmp_path / "studies" / "demo_sd15.toml"
    lines = path.read_text().splitlines()
    wanted = [f"n_trials = {FINISHED + 10}" if x.startswith("n_trials") else x for x in lines]
    path.write_text("\n".join(wanted))
    finish_trials(load_study(path))
    return path


@pytest.fixture
def start(study: Path) -> Iterator[Callable[[], psutil.Process]]:
    """Starts `optimizer run`; whatever of it is alive at the end is killed."""
    started = []

    def run() -> psutil.Process:
        command = [*OPTIMIZER, "run", str(study)]
        started.append(psutil.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1]

    yield run
    for process in started:
        if process.is_running():
            kill(process)


def kill(run: psutil.Process) -> None:
    """A run and its workers, none of which can do anything about it."""
    workers = run.children(recursive=True)
    for process in (run, *workers):
        process.kill()
    psutil.wait_procs([run, *workers], timeout=PATIENCE_SECONDS)


def test_watching_a_run_and_its_end(study: Path, start: Callable[[], psutil.Process]) -> None:
    terminal = pexpect.spawn(
        OPTIMIZER[0],
        [*OPTIMIZER[1:], "status", str(study), "--watch"],
        dimensions=(40, 160),
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"},
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
    )
    terminal.expect_exact(f"{FINISHED} of {FINISHED + 10} done")
    terminal.expect_exact("0.490 ± 0.010 (trial 49, epoch 4)")
    run = start()
    terminal.expect(r"waiting since [-\d]+ [:\d]+: a worker loads its models")
    terminal.expect_exact("running")
    terminal.expect(rf"trial {FINISHED} +│ epoch \d+, step \d+ of \d+, loss \d\.\d+")
    kill(run)
    terminal.expect(r"stopped since [-\d]+ [:\d]+: no worker is alive; `optimizer run")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert "Traceback" not in terminal.before
