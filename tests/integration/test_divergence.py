"""Real trainings: a rate far too high is stopped within some steps, good ones never are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.config.training import Hyperparameters
from optimizer.errors import DivergedError
from optimizer.training.noise import training_scheduler
from optimizer.training.prepared import PreparedData
from optimizer.training.results import TrainingResult
from optimizer.training.trainer import Trainer
from optimizer.trial.divergence import WINDOW, DivergenceGuard, loss_of_nothing

Prepared = Callable[[str], PreparedData]


def train(data: PreparedData, folder: Path, **chosen: object) -> TrainingResult:
    common = {"network_dim": 4, "network_alpha": 2.0, "gradient_checkpointing": False}
    settings = Hyperparameters.model_validate(common | {"max_train_epochs": 20} | chosen)
    scheduler = training_scheduler(dict(data.model.pipeline.scheduler.config))
    guard = DivergenceGuard(loss_of_nothing(scheduler, settings))
    return Trainer(data.model, data).train(settings, folder, "mivo", observe=guard.observe)


@pytest.mark.parametrize(
    ("family", "chosen"),
    [
        ("sd15", {"min_snr_gamma": 5.0}),
        ("sd15", {"train_batch_size": 1, "loss_type": "huber"}),
        ("sdxl", {}),
    ],
)
def test_a_rate_of_one_diverges(
    family: str, chosen: dict[str, object], prepared: Prepared, tmp_path: Path
) -> None:
    with pytest.raises(DivergedError, match=r"the loss rose from .* lower the learning") as stopped:
        train(prepared(family), tmp_path, learning_rate=1.0, **chosen)
    step = int(str(stopped.value).partition("up to step ")[2].partition(" ")[0])
    assert step <= 3 * WINDOW


@pytest.mark.parametrize(
    ("family", "chosen"),
    [
        ("sd15", {"min_snr_gamma": 5.0}),
        ("sd15", {"train_batch_size": 1, "max_train_epochs": 5}),
        ("sdxl", {}),
    ],
)
def test_good_trainings_are_let_be(
    family: str, chosen: dict[str, object], prepared: Prepared, tmp_path: Path
) -> None:
    result = train(prepared(family), tmp_path, learning_rate=1e-2, **chosen)
    assert result.global_step == result.max_train_steps >= 4 * WINDOW
