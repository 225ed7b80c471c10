"""Studies as the runner leaves them on disk, their trials ending as told instead of training."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import optuna
import pytest
from PIL import Image

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyStoppedError
from optimizer.report.audiences import Audiences
from optimizer.scoring.health import Health
from optimizer.scoring.objective import Part, Scores
from optimizer.study.loop import StudyResult
from optimizer.study.open import open_study, space_of
from optimizer.study.results import counted_trials
from optimizer.study.runner import run_study
from optimizer.trial.outcome import Outcome
from optimizer.trial.record import TrialFolder

RunTold = Callable[..., StudyResult | None]
PARTS = ("clip_t", "clip_i", "preservation", "diversity", "copy_rate", "subject", "prompt")


def scores(objective: float) -> Scores:
    """Scores with every part at the objective and a standard error of 0.01."""
    parts = {name: Part(objective, 0.01) for name in (*PARTS, "preservation_share")}
    counts = {"pictures": 2, "preservation_pictures": 2, "pictures_per_prompt": 2}
    return Scores(objective, 0.01, parts, Health(2, 0, 0, 0), counts)


def leave_files(folder: TrialFolder, value: float, colour: tuple[int, int, int]) -> None:
    """What a finished trial leaves behind: two scored checkpoints and their pictures."""
    told = []
    for epoch, share in ((2, 0.5), (4, 1.0)):
        found = {"epoch": epoch, "global_step": epoch, "file": f"small-{epoch:06d}.safetensors"}
        told.append(found | {"sha256": "0" * 64} | asdict(scores(value * share)))
        folder.samples(epoch).mkdir(parents=True, exist_ok=True)
        for place in range(4):
            Image.new("RGB", (32, 32), colour).save(folder.samples(epoch) / f"{place:03d}.png")
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    (folder.checkpoints / "small.safetensors").write_bytes(b"a LoRA")
    folder.write("scores.json", {"checkpoints": told})
    folder.write("result.json", {"versions": {"torch": "1"}, "device": "cpu", "sha256": "0" * 64})


@pytest.fixture
def run_told() -> RunTold:
    """Runs a study: a number is a finished trial's objective, a word the class of a failure."""

    def run(
        config: StudyConfig,
        endings: Sequence[float | str],
        audience: Any = None,
        seeds: Sequence[dict[str, Any]] = (),
    ) -> StudyResult | None:
        left = list(endings)
        space = space_of(config)

        def objective(trial: optuna.Trial) -> Outcome:
            settings = space.suggest(trial)
            ending = left.pop(0)
            if ending == "interrupted":
                return Outcome("interrupted", ending, "stopped by Ctrl-C")
            if isinstance(ending, str):
                state = "failed" if ending.endswith("Error") else "infeasible"
                return Outcome(state, ending, f"it was <{ending}>")
            folder = TrialFolder(config.folder, trial.number)
            folder.write("params.json", settings.model_dump())
            leave_files(folder, ending, (int(255 * ending), 90, 120))
            facts = {
                "effective_params": settings.model_dump(include=set(config.space.parameters)),
                "checkpoint": folder.relative(folder.checkpoints / "small.safetensors"),
                "epoch": 4,
                "objective_se": 0.01,
                "max_train_steps": 4,
                "clip_i": ending,
            }
            return Outcome("complete", "complete", value=ending, attributes=facts)

        before = len(counted_trials(open_study(config)))
        counted = before + sum(not str(e).endswith(("Error", "interrupted")) for e in endings)
        try:
            return run_study(
                config,
                lambda: objective,
                audience or Audiences(()),
                n_trials=counted or 1,
                seeds=seeds,
            )
        except StudyStoppedError:
            return None

    return run
