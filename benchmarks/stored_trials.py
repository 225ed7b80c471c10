"""Trials as a study keeps them that ran for weeks, in its database and its folder; for scale.py."""

from typing import Any

from optuna.trial import FrozenTrial, create_trial

from optimizer.config.study import StudyConfig
from optimizer.scoring.health import Health
from optimizer.scoring.objective import PARTS, Part, Scores
from optimizer.space.search_space import distribution_of, stored_name
from optimizer.study.open import open_study
from optimizer.trial import attrs
from optimizer.trial.record import TrialFolder

LORA = "lora-000004.safetensors"


def store_trials(config: StudyConfig, count: int) -> None:
    """Put finished trials into a study of the demo's SD1.5 space."""
    trials = [_stored_trial(config, number) for number in range(count)]
    open_study(config).add_trials(trials)
    for number, trial in enumerate(trials):
        folder = TrialFolder(config.folder, number)
        folder.checkpoints.mkdir()
        (folder.checkpoints / LORA).write_bytes(bytes(1000))
        folder.write("params.json", trial.user_attrs[attrs.EFFECTIVE])
        folder.write("result.json", {"value": trial.value} | trial.user_attrs)
        folder.write("scores.json", {"checkpoints": [_scores(float(trial.value or 0.0))]})
        (folder.path / "metrics.jsonl").write_text("{}\n" * 16)


def _scores(objective: float) -> dict[str, Any]:
    parts = {name: Part(objective, 0.01) for name in (*PARTS, "clip_i", "clip_t")}
    per_picture = {name: [objective] * 16 for name in ("clip_i", "clip_t", "preservation")}
    scores = Scores(objective, 0.01, parts, Health(16, 0, 0, 0), {"pictures": 16}, per_picture)
    return {"epoch": 4, "file": LORA, "sha256": "0" * 64} | scores.as_dict()


def _stored_trial(config: StudyConfig, number: int) -> FrozenTrial:
    parameters = config.space.parameters
    distributions = {stored_name(n, p): distribution_of(p) for n, p in parameters.items()}
    place = (number * 0.618) % 1.0
    drawn = {
        "learning_rate": 1e-4 * 300**place,
        "network_dim": (4, 8, 16)[number % 3],
        "network_alpha_ratio": (0.5, 0.75, 1.0)[number % 7 % 3],
        "lr_scheduler": ("constant_with_warmup", "cosine")[number % 2],
        "max_train_epochs": (4, 8, 12)[number % 11 % 3],
    }
    facts = {
        attrs.FEASIBLE: True,
        attrs.OUTCOME: "complete",
        attrs.EFFECTIVE: drawn,
        attrs.CHECKPOINT: f"trial_{number:04d}/checkpoints/{LORA}",
        attrs.EPOCH: 4,
        attrs.STANDARD_ERROR: 0.01,
        attrs.MAX_TRAIN_STEPS: 16,
        attrs.PLANNED_EPOCHS: 12,
        attrs.TRAINED_EPOCHS: 4,
        attrs.SECONDS: 10.0,
    }
    return create_trial(
        value=0.9 - abs(place - 0.6),
        params=drawn,
        distributions=distributions,
        user_attrs=facts,
        intermediate_values={4: 0.5},
    )
