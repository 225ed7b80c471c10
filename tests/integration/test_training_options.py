"""What a run does with each of its settings, on the demo's models."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from optimizer.config.dataset import DatasetConfig
from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.data.records import scan
from optimizer.models.loading import load_model
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.diffusion import Diffusion
from optimizer.training.max_norm import limit_norms, product_norm
from optimizer.training.optimizers import (
    averaged,
    build_optimizer,
    build_schedule,
    learning_rates,
)
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Checkpoint, Step, TrainingResult
from optimizer.training.trainer import Trainer

Prepared = Callable[[str], PreparedData]
Models = dict[str, PipelineModel]
CPU = torch.device("cpu")


def settings(**changed: object) -> Hyperparameters:
    values = {
        "learning_rate": 1e-3,
        "network_dim": 4,
        "network_alpha": 2.0,
        "max_train_epochs": 1,
        "gradient_checkpointing": False,
        "optimizer_type": "AdamW",
    }
    return Hyperparameters.model_validate(values | changed)


def train(
    data: PreparedData, folder: Path, chosen: Hyperparameters
) -> tuple[TrainingResult, list[Step]]:
    steps: list[Step] = []
    result = Trainer(data.model, data).train(chosen, folder, "mivo", observe=steps.append)
    return result, steps


CHANGES: list[dict[str, Any]] = [
    {"loss_type": "l1"},
    {"loss_type": "huber"},
    {"loss_type": "smooth_l1", "huber_schedule": "exponential"},
    {"min_snr_gamma": 1.0},
    {"debiased_estimation_loss": True},
    {"noise_offset": 0.1},
    {"multires_noise_iterations": 4},
    {"ip_noise_gamma": 0.2},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change))
def test_every_option_of_the_loss_changes_the_first_loss(
    change: Mapping[str, Any], prepared: Prepared, tmp_path: Path
) -> None:
    data = prepared("sd15")
    _, plain = train(data, tmp_path / "a", settings())
    _, changed = train(data, tmp_path / "b", settings(**change))
    assert changed[0].loss != plain[0].loss
    assert len(changed) == len(plain)


def test_prior_loss_weight_and_accumulation_leave_the_scale_of_the_loss(
    prepared: Prepared, tmp_path: Path
) -> None:
    data = prepared("sd15")
    _, whole = train(data, tmp_path / "a", settings(train_batch_size=4))
    _, split = train(
        data, tmp_path / "b", settings(train_batch_size=2, gradient_accumulation_steps=2)
    )
    assert len(whole) == len(split)
    assert split[0].loss == pytest.approx(whole[0].loss, rel=0.5)


def test_gradients_of_one_update_do_not_reach_the_next(prepared: Prepared, tmp_path: Path) -> None:
    """Where nothing is learnt, their norms stay what they are; sums of them would grow."""
    chosen = settings(learning_rate=1e-12, max_train_epochs=8, max_grad_norm=0.0)
    _, steps = train(prepared("sd15"), tmp_path, chosen)
    norms = [step.grad_norm for step in steps]
    assert sum(norms[-8:]) < 2 * sum(norms[:8])


def test_norms_of_products_stay_below_the_limit(models: Models) -> None:
    model = models["sdxl"]
    with trained_adapters(model, settings(conv_dim=2)) as adapters:
        for parameter in adapters.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
        before = _norms(adapters)
        limit_norms(adapters, 12.0)
        after = _norms(adapters)
    assert max(before.values()) > 12.0 > min(before.values())
    for path, norm in before.items():
        assert after[path] == pytest.approx(min(norm, 12.0), rel=1e-4)


def _norms(adapters: Any) -> dict[str, float]:
    """Frobenius norms of what each layer adds to its base weight, by PEFT's own arithmetic."""
    layers = adapters.layers("unet").items()
    return {path: float(layer.get_delta_weight("default").norm()) for path, layer in layers}


def test_product_norm_is_that_of_the_product() -> None:
    down, up = torch.randn(3, 5, 2, 2), torch.randn(7, 3, 1, 1)
    product = up.flatten(1) @ down.flatten(1)
    assert float(product_norm(down, up)) == pytest.approx(float(product.norm()), rel=1e-5)


def groups(model: PipelineModel, chosen: Hyperparameters) -> dict[str, float]:
    with trained_adapters(model, chosen) as adapters:
        return learning_rates(build_optimizer(chosen, adapters, CPU))


def test_every_component_learns_at_its_own_rate(models: Models) -> None:
    chosen = settings(unet_lr=3e-4, text_encoder_lr=2e-5, text_encoder_2_lr=1e-5)
    wanted = {"unet": 3e-4, "text_encoder": 2e-5, "text_encoder_2": 1e-5}
    assert groups(models["sdxl"], chosen) == wanted
    assert set(groups(models["sdxl"], settings(text_encoder_2_lr=1e-5))) == {
        "unet",
        "text_encoder_2",
    }
    only = settings(text_encoder_lr=1e-5, text_encoder_2_lr=0.0)
    assert set(groups(models["sdxl"], only)) == {"unet", "text_encoder"}


def test_loraplus_lets_up_matrices_learn_faster(models: Models) -> None:
    chosen = settings(loraplus_lr_ratio=16.0)
    with trained_adapters(models["sd15"], chosen) as adapters:
        torch_optimizer = build_optimizer(chosen, adapters, CPU)
        up = [p for n, p in adapters.named_parameters("unet") if "lora_B" in n]
        by_name = {g["name"]: g for g in torch_optimizer.param_groups}
        assert storages(by_name["unet up"]["params"]) == storages(up)
        assert by_name["unet up"]["lr"] == pytest.approx(16e-3)
        assert by_name["unet"]["lr"] == 1e-3


def storages(tensors: Iterable[torch.Tensor]) -> set[int]:
    """Where values lie: matrices are views of what the optimizer has."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def rates(model: PipelineModel, updates: int, **chosen: object) -> list[float]:
    """The learning rate of every update."""
    wanted = settings(learning_rate=1.0, **chosen)
    with trained_adapters(model, wanted) as adapters:
        torch_optimizer = build_optimizer(wanted, adapters, CPU)
        schedule = build_schedule(wanted, torch_optimizer, updates)
        found = []
        for _ in range(updates):
            found.append(schedule.get_last_lr()[0])
            torch_optimizer.step()
            schedule.step()
    return found


def test_restarts_are_hard_and_at_the_known_updates(models: Models) -> None:
    """Warm-up 100 of 1000 updates, 3 cycles: zero at 399, one at 400, and so on."""
    found = rates(
        models["sd15"],
        1000,
        lr_scheduler="cosine_with_restarts",
        lr_scheduler_num_cycles=3,
        lr_warmup_steps=100,
    )
    assert found[0] == 0
    assert [found[n] for n in (100, 400, 700)] == pytest.approx([1, 1, 1])
    assert [found[n] for n in (399, 699, 999)] == pytest.approx([0, 0, 0], abs=1e-3)


def test_warmup_ratio_is_a_share_of_all_updates(models: Models) -> None:
    found = rates(models["sd15"], 50, lr_scheduler="constant_with_warmup", lr_warmup_ratio=0.2)
    assert found[:11] == pytest.approx([n / 10 for n in range(11)])
    assert set(found[10:]) == {1.0}


@pytest.mark.parametrize("name", ["Prodigy", "AdamWScheduleFree"])
def test_optimizers_without_a_schedule_learn(name: str, prepared: Prepared, tmp_path: Path) -> None:
    rate = 1.0 if name == "Prodigy" else 1e-3
    chosen = settings(
        optimizer_type=name,
        learning_rate=rate,
        lr_scheduler="constant",
        max_train_epochs=3,
        save_every_n_epochs=1,
    )
    result, steps = train(prepared("sd15"), tmp_path, chosen)
    assert len({c.sha256 for c in result.checkpoints}) == 3
    assert all(0 < step.learning_rates["unet"] <= 1e-2 for step in steps)


def test_schedule_free_saves_its_averaged_weights(prepared: Prepared, tmp_path: Path) -> None:
    """And goes on training with the others: saving on the way changes nothing."""
    data = prepared("sd15")
    chosen = settings(
        optimizer_type="AdamWScheduleFree", lr_scheduler="constant", max_train_epochs=3
    )
    often, _ = train(data, tmp_path / "a", chosen.model_copy(update={"save_every_n_epochs": 1}))
    once, _ = train(data, tmp_path / "b", chosen.model_copy(update={"save_every_n_epochs": 3}))
    assert often.checkpoints[-1].sha256 == once.checkpoints[-1].sha256


def test_schedule_free_draws_with_other_weights_than_it_trains(models: Models) -> None:
    chosen = settings(optimizer_type="AdamWScheduleFree", lr_scheduler="constant")
    with trained_adapters(models["sd15"], chosen) as adapters:
        torch_optimizer = build_optimizer(chosen, adapters, CPU)
        for _ in range(3):
            for parameter in adapters.parameters():
                parameter.grad = torch.randn_like(parameter)
            torch_optimizer.step()
        trained = [p.detach().clone() for p in adapters.parameters()]
        with averaged(torch_optimizer):
            assert not all(map(torch.equal, adapters.parameters(), trained))
        assert all(map(torch.equal, adapters.parameters(), trained))


@pytest.fixture
def validated(
    dataset: Callable[[int], DatasetConfig], models: Models, tmp_path: Path
) -> PreparedData:
    """Six pictures to train on, two to look at."""
    model = models["sd15"]
    records = scan(dataset(model.native_resolution))
    return PreparedData(records[2:], model, TensorStore(tmp_path / "cache"), records[:2])


def test_validation_loss_is_told_at_five_timesteps(validated: PreparedData, tmp_path: Path) -> None:
    chosen = settings(max_train_epochs=2, save_every_n_epochs=1)
    result, _ = train(validated, tmp_path, chosen)
    first, last = result.checkpoints
    assert list(first.validation_losses) == ["100", "300", "500", "700", "900"]
    assert first.validation_losses != last.validation_losses
    losses = list(last.validation_losses.values())
    assert last.validation_loss == pytest.approx(sum(losses) / 5)
    assert all(0 < loss < 3 for loss in losses)


def test_validation_does_not_disturb_training(
    validated: PreparedData, models: Models, tmp_path: Path
) -> None:
    chosen = settings(max_train_epochs=2, network_dropout=0.2, save_every_n_epochs=1)
    bare = PreparedData(validated.records, models["sd15"], validated.store)
    with_it, _ = train(validated, tmp_path / "a", chosen)
    without, _ = train(bare, tmp_path / "b", chosen)
    assert with_it.checkpoints[-1].sha256 == without.checkpoints[-1].sha256
    assert without.checkpoints[-1].validation_losses == {}
    assert without.checkpoints[-1].validation_loss is None


def test_validation_loss_is_the_same_for_all_settings_of_the_loss(
    validated: PreparedData, tmp_path: Path
) -> None:
    """Before anything is learnt, whatever noise and weights the training would use."""
    found = set()
    for number, change in enumerate([{}, {"noise_offset": 0.1}, {"min_snr_gamma": 5.0}]):
        chosen = settings(learning_rate=1e-12, **change)
        result, _ = train(validated, tmp_path / str(number), chosen)
        found.add(round(result.checkpoints[-1].validation_loss or 0, 6))
    assert len(found) == 1


def test_validation_pictures_are_never_trained_on(validated: PreparedData) -> None:
    trained = {
        sample.record.path
        for epoch in range(1, 6)
        for plan in validated.epoch(epoch, settings())
        for sample in plan.samples
    }
    looked_at = {s.record.path for plan in validated.validation() for s in plan.samples}
    assert len(trained) == 6
    assert len(looked_at) == 2
    assert not trained & looked_at


def test_validation_pictures_are_neither_shuffled_nor_flipped(validated: PreparedData) -> None:
    varied = validated.validation_records[0].subset.model_copy(
        update={
            "shuffle_caption": True,
            "flip_aug": True,
            "color_aug": True,
            "random_crop": True,
            "caption_dropout_rate": 0.9,
        }
    )
    records = [replace(r, subset=varied) for r in validated.validation_records]
    data = PreparedData(validated.records, validated.model, validated.store, records)
    for plan, record in zip(data.validation(), records, strict=True):
        assert plan.samples[0].caption == record.captions[0]
        assert not plan.samples[0].flip
        seen = plan.samples[0].record.subset
        assert not (seen.shuffle_caption or seen.caption_dropout_rate)
        assert not (seen.flip_aug or seen.random_crop or seen.color_aug)


def test_v_prediction_model_is_trained_and_drawn_as_one(models: Models) -> None:
    reference = models["sd15"].name
    for zero in (False, True):
        config = ModelConfig(
            family="sd15",
            pretrained_model_name_or_path=reference,
            v_parameterization=True,
            zero_terminal_snr=zero,
        )
        model = load_model(config, CPU)
        trained = Diffusion(model, None, settings(), Accelerator(cpu=True)).scheduler  # type: ignore[arg-type]
        assert trained.config.prediction_type == "v_prediction"
        assert model.pipeline.scheduler.config.prediction_type == "v_prediction"
        assert (float(trained.alphas_cumprod[-1]) < 1e-5) is zero


def test_report_can_still_stop_a_run(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sd15")

    def stop(checkpoint: Checkpoint) -> bool:
        return False

    chosen = settings(max_train_epochs=3, save_every_n_epochs=1)
    result = Trainer(data.model, data).train(chosen, tmp_path, "mivo", report=stop)
    assert result.stopped_early
    assert len(result.checkpoints) == 1


def encoded(data: PreparedData) -> tuple[int, int]:
    """Pictures and captions that had to be encoded so far."""
    return data.latents.encoded, sum(one.encoded for one in data.embeddings.values())


def shuffled(data: PreparedData) -> PreparedData:
    subset = data.records[0].subset.model_copy(update={"shuffle_caption": True, "flip_aug": True})
    lines = ("mivo monster, red, standing, white background",)
    records = [replace(r, subset=subset, captions=lines) for r in data.records]
    return PreparedData(records, data.model, data.store)


def test_each_shuffle_of_a_caption_is_encoded_once(prepared: Prepared, tmp_path: Path) -> None:
    data = shuffled(prepared("sdxl"))
    data.encode_all()
    train(data, tmp_path / "a", settings(max_train_epochs=2))
    pictures, captions = encoded(data)
    assert pictures == 16  # eight, and eight flipped
    assert 1 < captions <= 24  # four tags in any order
    train(data, tmp_path / "b", settings(max_train_epochs=2, learning_rate=1e-4))
    assert encoded(data) == (pictures, captions)
    again = shuffled(prepared("sdxl"))
    train(again, tmp_path / "c", settings(max_train_epochs=2))
    assert encoded(again) == (0, 0)  # another study, another process: the disk has it


def test_trained_text_encoders_encode_captions_every_time(
    prepared: Prepared, tmp_path: Path
) -> None:
    data = prepared("sdxl")
    train(data, tmp_path / "a", settings(text_encoder_lr=1e-4))
    train(data, tmp_path / "b", settings(text_encoder_lr=1e-4))
    assert encoded(data) == (8, 0)
