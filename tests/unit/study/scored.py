"""Trials and pictures as a search leaves them, made of numbers instead of training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import create_trial
from PIL import Image

from optimizer.config.scoring import Preset
from optimizer.config.study import StudyConfig
from optimizer.scoring.array import Array
from optimizer.scoring.health import Health
from optimizer.scoring.objective import Anchors, score
from optimizer.scoring.scorer import Picture, Scored
from optimizer.study.open import open_study
from optimizer.trial import attrs

DOT = Image.new("RGB", (2, 2))
PROMPTS = 4


def metrics(clip_i: Any, clip_t: Any = 0.3, preservation: Any = 0.3, pictures: int = 8) -> Any:
    """Raw metrics (pictures,) each; single numbers stand for all pictures."""
    values = {"clip_i": clip_i, "clip_t": clip_t, "preservation": preservation}
    return {n: np.broadcast_to(np.float32(v), pictures).copy() for n, v in values.items()}


def anchors(pictures: int = 8) -> Anchors:
    """A base at 0.2 and real pictures at 0.8 of clip_i."""
    return Anchors(metrics(0.2, pictures=pictures), 0.8)


def scored(
    per_picture: Mapping[str, Array], preset: Preset = "balanced", *, seed: int = 0, bad: int = 0
) -> Scored:
    """What a scorer would return for pictures with these metrics."""
    n = len(per_picture["clip_i"])
    health = Health(2 * n, bad, 0, 0)
    scores, objectives = score(per_picture, anchors(n), preset, n // PROMPTS, health)
    pictures = tuple(
        Picture(DOT, f"p{k // (n // PROMPTS)}", f"p{k // (n // PROMPTS)}", seed + k, 0.0, 0.0)
        for k in range(n)
    )
    return Scored(scores, pictures, pictures, dict(per_picture), objectives)


def finished(config: StudyConfig, trials: list[dict[int, Scored]]) -> optuna.Study:
    """A study on disk whose trials have these checkpoints by epoch."""
    study = open_study(config)
    (config.folder / "anchors.json").write_text(json.dumps(anchors().as_dict()))
    for number, checkpoints in enumerate(trials):
        add_trial(config, study, number, checkpoints)
    return study


def add_trial(
    config: StudyConfig, study: optuna.Study, number: int, checkpoints: dict[int, Scored]
) -> None:
    """One finished trial, its files and its folder."""
    folder = config.folder / f"trial_{number:04d}"
    (folder / "checkpoints").mkdir(parents=True)
    told = []
    for epoch, one in checkpoints.items():
        name = f"small-{epoch:06d}.safetensors"
        (folder / "checkpoints" / name).write_bytes(b"a LoRA")
        told.append({"epoch": epoch, "file": name, "sha256": f"{number}/{epoch}"})
        told[-1] |= one.scores.as_dict()
    (folder / "scores.json").write_text(json.dumps({"checkpoints": told}))
    (folder / "params.json").write_text(json.dumps({"learning_rate": 0.001 * (number + 1)}))
    best = max(told, key=lambda one: one["objective"] * Health.from_dict(one["health"]).ok)
    facts = {
        attrs.FEASIBLE: True,
        attrs.EFFECTIVE: {"learning_rate": 0.001 * (number + 1)},
        attrs.CHECKPOINT: f"trial_{number:04d}/checkpoints/{best['file']}",
        attrs.EPOCH: best["epoch"],
        attrs.STANDARD_ERROR: best["objective_se"],
    }
    study.add_trial(create_trial(value=best["objective"], user_attrs=facts))


def read(path: Path) -> Any:
    """JSON of a file."""
    return json.loads(path.read_text())
