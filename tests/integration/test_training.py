"""Training on the demo's models: deterministic, harmless to the base, saved as others load it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors import safe_open
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError, LoraFileError, NonFiniteLossError
from optimizer.models.base import PictureSizes
from optimizer.models.lora import applied_lora, read_header
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Checkpoint, Step, TrainingResult
from optimizer.training.trainer import Trainer

Prepared = Callable[[str], PreparedData]
Models = dict[str, PipelineModel]
FAMILIES = ("sd15", "sdxl")


def settings(**changed: object) -> Hyperparameters:
    values = {
        "learning_rate": 1e-3,
        "network_dim": 4,
        "network_alpha": 2.0,
        "max_train_epochs": 2,
        "save_every_n_epochs": 1,
        "gradient_checkpointing": False,
    }
    return Hyperparameters.model_validate(values | changed)


def train(
    data: PreparedData, folder: Path, chosen: Hyperparameters
) -> tuple[TrainingResult, list[Step]]:
    steps: list[Step] = []
    result = Trainer(data.model, data).train(chosen, folder, "mivo", observe=steps.append)
    return result, steps


def predict(model: PipelineModel) -> Tensor:
    """The UNet's output for one fixed input."""
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    side = model.native_resolution
    sizes = [PictureSizes((side, side), (0, 0), (side, side))]
    with torch.no_grad():
        conditions = model.unet_conditions(model.encode_prompts(["a mivo monster"]), sizes)
        output: Tensor = model.pipeline.unet(latents, 500, **conditions).sample
    return output


@pytest.mark.parametrize("family", FAMILIES)
def test_same_settings_give_the_same_losses_and_file(
    family: str, prepared: Prepared, tmp_path: Path
) -> None:
    data = prepared(family)
    first, losses = train(data, tmp_path / "a", settings())
    train(data, tmp_path / "b", settings(seed=7, text_encoder_lr=1e-3))
    third, again = train(data, tmp_path / "c", settings())
    assert [s.loss for s in losses] == [s.loss for s in again]
    assert first.checkpoints[-1].sha256 == third.checkpoints[-1].sha256


@pytest.mark.parametrize("family", FAMILIES)
def test_another_seed_gives_another_file(family: str, prepared: Prepared, tmp_path: Path) -> None:
    data = prepared(family)
    results = [train(data, tmp_path / str(s), settings(seed=s))[0] for s in (1, 2)]
    assert results[0].checkpoints[-1].sha256 != results[1].checkpoints[-1].sha256


@pytest.mark.parametrize("family", FAMILIES)
def test_base_weights_and_layers_are_as_before(
    family: str, prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    model = models[family]
    before, layers = model.fingerprint(), [n for n, _ in model.pipeline.unet.named_modules()]
    train(prepared(family), tmp_path, settings(text_encoder_lr=1e-3))
    assert model.fingerprint() == before
    assert [n for n, _ in model.pipeline.unet.named_modules()] == layers
    assert not any(p.requires_grad for m in model.modules.values() for p in m.parameters())


def test_a_changed_base_weight_is_noticed(models: Models) -> None:
    model = models["sd15"]
    before = model.fingerprint()
    weight = next(model.pipeline.unet.parameters())
    kept = weight.data.clone()
    weight.data.view(-1)[3] += 1e-3
    changed = model.fingerprint()
    weight.data.copy_(kept)
    assert changed["unet"] != before["unet"]
    assert model.fingerprint() == before


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("targets", ["attention", "transformer"])
@pytest.mark.parametrize("encoder_rate", [0.0, 1e-3])
def test_reloaded_file_computes_what_was_trained(
    family: str,
    targets: str,
    encoder_rate: float,
    prepared: Prepared,
    models: Models,
    tmp_path: Path,
) -> None:
    model = models[family]
    trained: list[Tensor] = []

    def remember(checkpoint: Checkpoint) -> bool:
        model.pipeline.unet.eval()
        trained.append(predict(model))
        model.pipeline.unet.train()
        return True

    chosen = settings(targets=targets, text_encoder_lr=encoder_rate, save_precision="float")
    Trainer(model, prepared(family)).train(chosen, tmp_path, "mivo", report=remember)
    bare = predict(model)
    with applied_lora(model, tmp_path / "mivo.safetensors"):
        reloaded = predict(model)
    assert torch.equal(reloaded, trained[-1])
    assert not torch.equal(reloaded, bare)
    assert torch.equal(predict(model), bare)


@pytest.mark.parametrize("family", FAMILIES)
def test_file_loads_in_a_fresh_diffusers_pipeline(
    family: str, prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    train(prepared(family), tmp_path, settings(text_encoder_lr=1e-3))
    kinds = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
    pipeline = kinds[family].from_pretrained(models[family].name)
    pipeline.load_lora_weights(str(tmp_path / "mivo.safetensors"))
    with applied_lora(models[family], tmp_path / "mivo.safetensors"):
        ours = {n: p for n, p in models[family].pipeline.unet.named_parameters() if "lora_A" in n}
        theirs = dict(pipeline.unet.named_parameters())
        pairs = [(p, theirs[n.replace("scored", "default_0")]) for n, p in ours.items()]
    assert pairs
    assert all(torch.equal(one, other) for one, other in pairs)


def test_file_says_true_alpha_and_family(prepared: Prepared, tmp_path: Path) -> None:
    train(prepared("sdxl"), tmp_path, settings(network_dim=8, network_alpha=2.5))
    header = read_header(tmp_path / "mivo.safetensors")
    assert header.family == "sdxl"
    assert header.metadata["ss_base_model_version"].startswith("sdxl_")
    assert header.metadata["ss_network_alpha"] == "2.5"
    with safe_open(tmp_path / "mivo.safetensors", "pt") as file:
        alphas = {float(file.get_tensor(k)) for k in file.keys() if k.endswith(".alpha")}  # noqa: SIM118
    assert alphas == {2.5}


def test_checkpoints_are_named_as_sd_scripts_names_them(prepared: Prepared, tmp_path: Path) -> None:
    result, _ = train(prepared("sd15"), tmp_path, settings(max_train_epochs=3))
    names = [checkpoint.path.name for checkpoint in result.checkpoints]
    assert names == ["mivo-000001.safetensors", "mivo-000002.safetensors", "mivo.safetensors"]


def test_steps_count_updates_and_short_last_groups(prepared: Prepared, tmp_path: Path) -> None:
    # 8 pictures twice in batches of 4 are 4 micro-batches: groups of 3 make 2 updates an epoch.
    chosen = settings(gradient_accumulation_steps=3)
    result, steps = train(prepared("sd15"), tmp_path, chosen)
    assert result.max_train_steps == result.global_step == 4
    assert [s.global_step for s in steps] == [1, 2, 3, 4]


def test_accumulated_micro_batches_equal_one_batch(prepared: Prepared, tmp_path: Path) -> None:
    """With everything else the same, the first update's gradient is that of the whole batch."""
    data = prepared("sd15")
    _, one = train(data, tmp_path / "a", settings(train_batch_size=4, max_train_epochs=1))
    chosen = settings(train_batch_size=1, gradient_accumulation_steps=4, max_train_epochs=1)
    _, four = train(data, tmp_path / "b", chosen)
    assert len(one) == len(four)
    assert one[0].learning_rates == four[0].learning_rates


@pytest.mark.parametrize("name", ["AdamW", "AdamW8bit", "Lion", "Lion8bit", "Adafactor"])
def test_every_optimizer_changes_the_adapter(name: str, prepared: Prepared, tmp_path: Path) -> None:
    chosen = settings(optimizer_type=name, learning_rate=1e-4)
    result, _ = train(prepared("sd15"), tmp_path, chosen)
    first, last = result.checkpoints[0], result.checkpoints[-1]
    assert first.sha256 != last.sha256


def test_paged_optimizer_is_refused_on_the_cpu(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PagedAdamW8bit needs a CUDA device"):
        train(prepared("sd15"), tmp_path, settings(optimizer_type="PagedAdamW8bit"))


def test_gradient_checkpointing_changes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sdxl")
    _, plain = train(data, tmp_path / "a", settings())
    _, saved = train(data, tmp_path / "b", settings(gradient_checkpointing=True))
    assert [s.loss for s in plain] == pytest.approx([s.loss for s in saved], rel=1e-5)


def test_non_finite_loss_stops_at_once_and_leaves_the_model_clean(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    with pytest.raises(NonFiniteLossError, match=r"the loss became nan at step \d+ of 80"):
        train(
            prepared("sd15"),
            tmp_path,
            settings(learning_rate=1e30, optimizer_type="AdamW", max_train_epochs=20),
        )
    assert models["sd15"].fingerprint() == models["sd15"].loaded_weights


def test_report_ends_training_early(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sd15")
    result = Trainer(data.model, data).train(
        settings(max_train_epochs=4), tmp_path, "mivo", report=lambda c: c.epoch < 2
    )
    assert result.stopped_early
    assert [c.epoch for c in result.checkpoints] == [1, 2]


def test_second_training_encodes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sdxl")
    train(data, tmp_path / "a", settings())
    encoded = data.latents.encoded, sum(e.encoded for e in data.embeddings.values())
    train(data, tmp_path / "b", settings(learning_rate=1e-4))
    assert encoded == (8, 4)
    assert (data.latents.encoded, sum(e.encoded for e in data.embeddings.values())) == encoded


def test_lora_of_the_other_family_is_refused(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    train(prepared("sd15"), tmp_path, settings())
    with (
        pytest.raises(LoraFileError, match=r"is a LoRA for sd15, but .* is a sdxl model"),
        applied_lora(models["sdxl"], tmp_path / "mivo.safetensors"),
    ):
        pass


def test_lora_with_modules_that_fit_nowhere_is_refused(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    train(prepared("sd15"), tmp_path, settings())
    tensors = load_file(tmp_path / "mivo.safetensors")
    renamed = {k.replace("down_blocks_0", "down_blocks_7"): v for k, v in tensors.items()}
    save_file(renamed, tmp_path / "wrong.safetensors")
    with (
        pytest.raises(LoraFileError, match=r"wrong\.safetensors"),
        applied_lora(models["sd15"], tmp_path / "wrong.safetensors"),
    ):
        pass
    assert models["sd15"].fingerprint() == models["sd15"].loaded_weights


def test_scoring_a_checkpoint_on_the_way_does_not_change_training(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    data, model = prepared("sdxl"), models["sdxl"]
    plain, _ = train(data, tmp_path / "a", settings(text_encoder_lr=1e-3))

    def look(checkpoint: Checkpoint) -> bool:
        with applied_lora(model, checkpoint.path):
            predict(model)
        return True

    chosen = settings(text_encoder_lr=1e-3)
    watched = Trainer(model, data).train(chosen, tmp_path / "b", "mivo", report=look)
    assert [c.sha256 for c in watched.checkpoints] == [c.sha256 for c in plain.checkpoints]


def test_adapters_come_off_after_an_error(models: Models) -> None:
    model = models["sdxl"]
    with pytest.raises(RuntimeError), trained_adapters(model, settings(text_encoder_lr=1e-3)):
        raise RuntimeError
    assert model.fingerprint() == model.loaded_weights
    assert all(not hasattr(module, "peft_config") for module in model.text_encoders.values())


TRAIN_PROCESS = Path(__file__).with_name("train_process.py")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_process_gives_the_same_file(
    family: str, prepared: Prepared, models: Models, pictures: Path, tmp_path: Path
) -> None:
    chosen = settings(text_encoder_lr=1e-3, optimizer_type="AdamW8bit")
    data = prepared(family)
    train(data, tmp_path / "earlier", settings(seed=1, learning_rate=1e-2))
    result, _ = train(data, tmp_path / "here", chosen)
    arguments = [family, models[family].name, pictures, tmp_path, chosen.model_dump_json()]
    command = [sys.executable, TRAIN_PROCESS, *map(str, arguments)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert there.split()[-1] == result.checkpoints[-1].sha256
