"""Fitting an update to the card changes neither the update nor what is saved."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from optimizer.config.training import Hyperparameters
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.diffusion import Diffusion
from optimizer.training.memory import MemoryWay
from optimizer.training.noised import Noised, regrouped
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Step, TrainingResult
from optimizer.training.run import Run
from optimizer.training.trainer import Trainer

Prepared = Callable[[str], PreparedData]
Models = dict[str, PipelineModel]


def settings(**changed: object) -> Hyperparameters:
    values = {
        "learning_rate": 1e-3,
        "network_dim": 4,
        "network_alpha": 2.0,
        "max_train_epochs": 2,
        "gradient_checkpointing": False,
        "optimizer_type": "AdamW",
    }
    return Hyperparameters.model_validate(values | changed)


def train(
    data: PreparedData, folder: Path, chosen: Hyperparameters, way: MemoryWay | None = None
) -> tuple[TrainingResult, list[float]]:
    losses: list[float] = []

    def observe(step: Step) -> None:
        losses.append(step.loss)

    trainer = Trainer(data.model, data)
    return trainer.train(chosen, folder, "mivo", way=way, observe=observe), losses


def noised(data: PreparedData, chosen: Hyperparameters) -> tuple[Diffusion, list[Noised]]:
    """Every batch of an epoch, and one of another shape."""
    diffusion = Diffusion(data.model, data, chosen, Accelerator(cpu=True))
    generator = torch.Generator().manual_seed(0)
    batches = [diffusion.noised(data.load(p), generator) for p in data.epoch(1, chosen)]
    first = batches[0].part(slice(0, 3))
    wide = {name: getattr(first, name).repeat(1, 1, 1, 2) for name in ("noisy", "target")}
    return diffusion, [*batches[:2], batches[2].part(slice(0, 1)), Noised(**vars(first) | wide)]


def test_other_batches_have_the_gradient_of_the_given_ones(prepared: Prepared) -> None:
    data, chosen = prepared("sdxl"), settings()
    diffusion, batches = noised(data, chosen)
    assert [len(batch) for batch in batches] == [4, 4, 1, 3]
    with trained_adapters(data.model, chosen) as adapters:
        for parameter in adapters.parameters():
            parameter.data += 0.01

        def gradients(losses: list[torch.Tensor]) -> list[torch.Tensor]:
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
            found = [p.grad.clone() for p in adapters.parameters()]
            for parameter in adapters.parameters():
                parameter.grad = None
            return found

        given = gradients([diffusion.losses(batch).mean() for batch in batches])
        for at_once, sizes in ((12, [9, 3]), (5, [4, 5, 3]), (2, [1, 2, 2, 2, 2, 1, 2])):
            parts = list(regrouped(batches, at_once))
            assert [len(part) for part in parts] == sizes
            others = gradients([diffusion.losses(part).sum() for part in parts])
            for mine, other in zip(given, others, strict=True):
                assert torch.allclose(mine, other, rtol=1e-3, atol=1e-6)


class Greedy:
    """The UNet's forward pass, out of memory for more than `most` pictures."""

    def __init__(self, model: PipelineModel, most: int, *, checkpointing: bool = False) -> None:
        self.unet, self.most, self.checkpointing = model.pipeline.unet, most, checkpointing
        self.refused = 0

    def __call__(self, module: Any, inputs: tuple[Any, ...]) -> None:
        saves = self.checkpointing and self.unet.is_gradient_checkpointing
        if module.training and len(inputs[0]) > self.most and not saves:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")

    def __enter__(self) -> "Greedy":
        self.handle = self.unet.register_forward_pre_hook(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.handle.remove()


def test_out_of_memory_goes_on_with_fewer_pictures_to_the_same_result(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    data, chosen = prepared("sd15"), settings()
    _, plain = train(data, tmp_path / "a", chosen)
    with Greedy(models["sd15"], most=1) as greedy:
        result, split = train(data, tmp_path / "b", chosen)
    assert greedy.refused == 2  # batches of 4, then of 2; then it is known
    assert split == pytest.approx(plain, rel=1e-3)
    assert result.memory == MemoryWay(checkpoints=False, at_once=1)


def test_auto_turns_checkpointing_on_before_it_parts_batches(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    data, chosen = prepared("sd15"), settings(gradient_checkpointing="auto")
    _, plain = train(data, tmp_path / "a", chosen)
    with Greedy(models["sd15"], most=1, checkpointing=True) as greedy:
        _, saved = train(data, tmp_path / "b", chosen)
    assert greedy.refused == 1
    assert saved == pytest.approx(plain, rel=1e-4)
    assert not models["sd15"].pipeline.unet.is_gradient_checkpointing


def test_out_of_memory_with_one_picture_is_said(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    with Greedy(models["sd15"], most=0), pytest.raises(torch.OutOfMemoryError):
        train(prepared("sd15"), tmp_path, settings())
    assert models["sd15"].fingerprint() == models["sd15"].loaded_weights


WAYS = [
    MemoryWay(checkpoints=False, at_once=8),  # accumulated batches together
    MemoryWay(checkpoints=True, at_once=3),
    MemoryWay(checkpoints=False, at_once=4, resting=("vae", "text_encoder", "text_encoder_2")),
]


@pytest.mark.parametrize("way", WAYS, ids=MemoryWay.sentence)
def test_every_way_trains_the_same(way: MemoryWay, prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sdxl")
    chosen = settings(
        gradient_accumulation_steps=2, gradient_checkpointing="auto", network_dropout=0.0
    )
    _, plain = train(data, tmp_path / "a", chosen)
    result, fitted = train(data, tmp_path / "b", chosen, way)
    assert fitted == pytest.approx(plain, rel=1e-4)
    assert result.memory == way


def test_the_step_that_confirms_leaves_nothing_behind(prepared: Prepared, tmp_path: Path) -> None:
    data, chosen = prepared("sd15"), settings(network_dropout=0.5, max_grad_norm=0.0)
    as_set, plain = train(data, tmp_path / "a", chosen)
    way = MemoryWay(checkpoints=False, at_once=4)
    confirmed, again = train(data, tmp_path / "b", chosen, way)
    assert again == plain
    first, second = saved_matrices(as_set), saved_matrices(confirmed)
    assert all(torch.equal(first[key], second[key]) for key in first)


def saved_matrices(result: TrainingResult) -> dict[str, torch.Tensor]:
    return load_file(result.checkpoints[-1].path)


def test_what_was_predicted_too_well_is_found_out_before_the_first_update(
    prepared: Prepared, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, chosen = prepared("sd15"), settings(gradient_accumulation_steps=2)
    updates, refused = Run._updates, list[int]()

    def noted(run: Run, *arguments: Any) -> None:
        refused.append(greedy.refused)
        updates(run, *arguments)

    monkeypatch.setattr(Run, "_updates", noted)
    with Greedy(models["sd15"], most=4) as greedy:
        result, _ = train(data, tmp_path, chosen, MemoryWay(checkpoints=False, at_once=8))
    assert refused == [1, 1]
    assert result.memory.at_once == 4


@contextmanager
def nobody_wakes(model: PipelineModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fails when a network is used while it rests; yields the names of those that rested."""
    resting, rested, own = set[str](), [], model.resting

    @contextmanager
    def watched(names: Collection[str]) -> Iterator[None]:
        resting.update(names)
        rested.extend(names)
        with own(names):
            yield
        resting.clear()

    def used(name: str) -> Callable[..., None]:
        def check(*_: Any) -> None:
            assert name not in resting, f"{name} is used while it rests"

        return check

    monkeypatch.setattr(model, "resting", watched)
    hooks = [
        module.register_forward_pre_hook(used(name))
        for name, module in model.modules.items()
        if name != "vae"
    ]
    hooks.append(model.pipeline.vae.encoder.register_forward_pre_hook(used("vae")))
    yield rested
    for hook in hooks:
        hook.remove()


def test_what_rests_is_not_needed(
    prepared: Prepared, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captions that change every epoch are encoded before the encoders rest."""
    data = prepared("sdxl")
    subset = data.records[0].subset.model_copy(update={"shuffle_caption": True})
    data.records = tuple(replace(record, subset=subset) for record in data.records)
    data.encode_all()
    way = MemoryWay(checkpoints=False, at_once=4, resting=("vae", "text_encoder", "text_encoder_2"))
    with nobody_wakes(models["sdxl"], monkeypatch) as rested:
        train(data, tmp_path / "out", settings(), way)
    assert rested.count("text_encoder_2") == 3  # once to confirm, then an epoch each
