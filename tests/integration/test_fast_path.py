"""What makes a step fast changes nothing: flat parameters and lean layers against the plain way."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optimizer.config.training import Hyperparameters
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training import optimizers, run
from optimizer.training.adapters import trained_adapters
from optimizer.training.flat import ALIGNMENT, flattened
from optimizer.training.lean import make_lean
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer

Prepared = Callable[[str], PreparedData]
Models = dict[str, PipelineModel]


def settings(**changed: object) -> Hyperparameters:
    values = {
        "learning_rate": 1e-3,
        "network_dim": 4,
        "network_alpha": 2.0,
        "max_train_epochs": 4,
        "save_every_n_epochs": 4,
        "gradient_checkpointing": False,
    }
    return Hyperparameters.model_validate(values | changed)


def losses(data: PreparedData, folder: Path, chosen: Hyperparameters) -> list[float]:
    found: list[float] = []
    Trainer(data.model, data).train(
        chosen, folder, "mivo", observe=lambda step: found.append(step.loss)
    )
    return found


def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on matrix by matrix, through PEFT's own layers."""
    monkeypatch.setattr(optimizers, "flattened", list)
    monkeypatch.setattr(optimizers, "_MatrixByMatrix", type("Nothing", (), {}))
    monkeypatch.setattr(run, "make_lean", lambda adapters: None)


CASES = [
    ("AdamW8bit", {}, 1e-4),
    ("AdamW8bit", {"network_dim": 128}, 1e-3),  # matrices large enough for 8 bits
    ("AdamW8bit", {"loraplus_lr_ratio": 8.0, "text_encoder_lr": 1e-4}, 1e-4),
    ("AdamW8bit", {"use_dora": True, "conv_dim": 2}, 1e-4),
    ("AdamW8bit", {"mixed_precision": "bf16"}, 2e-2),
    ("AdamW", {"gradient_checkpointing": True}, 1e-4),
    ("Prodigy", {"learning_rate": 1.0}, 1e-3),
    ("Lion8bit", {"learning_rate": 1e-4, "network_dim": 48}, 1e-3),
    ("AdamWScheduleFree", {"lr_scheduler": "constant"}, 1e-4),
    ("Adafactor", {}, 1e-4),
]


@pytest.mark.parametrize(("optimizer_type", "changed", "tolerance"), CASES)
def test_losses_are_those_of_the_plain_way(
    optimizer_type: str,
    changed: dict[str, object],
    tolerance: float,
    prepared: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, chosen = prepared("sdxl"), settings(optimizer_type=optimizer_type, **changed)
    fast = losses(data, tmp_path / "fast", chosen)
    plainly(monkeypatch)
    plain = losses(data, tmp_path / "plain", chosen)
    assert fast == pytest.approx(plain, rel=tolerance)
    assert len(set(fast)) > 8, "something is learnt"


def test_flat_parameters_are_the_adapters_own(models: Models) -> None:
    with trained_adapters(models["sdxl"], settings(network_dim=48)) as adapters:
        before = [p.detach().clone() for p in adapters.parameters()]
        flats = flattened(adapters.parameters())
        assert [flat.small for flat in flats] == [True, False]
        assert all(map(torch.equal, adapters.parameters(), before))
        for flat in flats:
            assert flat.grad is not None
            flat.data += 1
            flat.grad += 2
        for parameter, value in zip(adapters.parameters(), before, strict=True):
            assert torch.equal(parameter, value + 1)
            assert parameter.grad is not None
            assert bool((parameter.grad == 2).all())
        large = [p for p in adapters.parameters() if p.numel() >= 4096]
        starts = {(p.data_ptr() - flats[1].data_ptr()) // 4 % ALIGNMENT for p in large}
        assert starts == {0}, "no block of the 8-bit moments holds two matrices"


@pytest.mark.parametrize(
    ("changed", "lean"),
    [({}, True), ({"use_dora": True}, False), ({"network_dropout": 0.5}, False)],
)
def test_only_plain_layers_are_made_lean(
    changed: dict[str, object], lean: bool, models: Models
) -> None:
    with trained_adapters(models["sdxl"], settings(targets="attention", **changed)) as adapters:
        make_lean(adapters)
        layers = adapters.layers("unet").values()
        assert {"forward" in vars(layer) for layer in layers} == {lean}
