"""LoRA files of every kind of adapter: what they hold, and that others load just that."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError, LoraFileError
from optimizer.models.base import PictureSizes
from optimizer.models.kohya import module_name
from optimizer.models.lora import applied_lora, read_header
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.lora_file import lora_file, write_lora
from optimizer.training.lora_metadata import lora_metadata
from optimizer.training.lora_size import lora_bytes
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Checkpoint
from optimizer.training.trainer import Trainer

Prepared = Callable[[str], PreparedData]
Models = dict[str, PipelineModel]
FAMILIES = ("sd15", "sdxl")
PIPELINES = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}

KINDS: dict[str, dict[str, object]] = {
    "attention": {"targets": "attention", "text_encoder_lr": 1e-3},
    "second encoder alone": {"text_encoder_2_lr": 1e-3},
    "convolutions": {"conv_dim": 2, "conv_alpha": 0.5},
    "convolutions and encoders": {"conv_dim": 3, "text_encoder_lr": 1e-3},
    "blocks": {"block_dims": {"down_blocks.1": 2, "up_blocks.0": 7}},
    "rsLoRA": {"use_rslora": True, "text_encoder_lr": 1e-3},
    "DoRA": {"use_dora": True},
    "DoRA, convolutions, encoders": {"use_dora": True, "conv_dim": 2, "text_encoder_lr": 1e-3},
}

CASES = [
    (family, file_format, kind)
    for family in FAMILIES
    for file_format in ("kohya", "peft")
    for kind in KINDS
    if family == "sdxl" or kind != "second encoder alone"
]


def in_diffusers(family: str, file_format: str, kind: str) -> bool:
    """It drops the DoRA scales of sd-scripts' format, and says so."""
    return file_format == "peft" or "DoRA" not in kind


def settings(**changed: object) -> Hyperparameters:
    values = {
        "learning_rate": 1e-2,
        "network_dim": 4,
        "network_alpha": 3.0,
        "max_train_epochs": 1,
        "gradient_checkpointing": False,
        "save_precision": "float",
        "optimizer_type": "AdamW",
    }
    return Hyperparameters.model_validate(values | changed)


def predict(model: PipelineModel) -> Tensor:
    """The UNet's output for one fixed input."""
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    side = model.native_resolution
    sizes = [PictureSizes((side, side), (0, 0), (side, side))]
    with torch.no_grad():
        conditions = model.unet_conditions(model.encode_prompts(["a mivo monster"]), sizes)
        output: Tensor = model.pipeline.unet(latents, 500, **conditions).sample
    return output


def trained(data: PreparedData, folder: Path, chosen: Hyperparameters) -> Tensor:
    """Train into `mivo.safetensors`; returns what the UNet answers with the adapter on it."""
    answers: list[Tensor] = []

    def answer(checkpoint: Checkpoint) -> bool:
        for module in data.model.modules.values():
            module.eval()
        answers.append(predict(data.model))
        return True

    Trainer(data.model, data).train(chosen, folder, "mivo", report=answer)
    return answers[-1]


def untrained(model: PipelineModel, chosen: Hyperparameters, path: Path) -> Tensor:
    """Save a random adapter; returns what the UNet answers with it on."""
    torch.manual_seed(0)
    with trained_adapters(model, chosen) as adapters, adapters.evaluating():
        for parameter in adapters.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        layers = int(model.pipeline.unet.config.layers_per_block)
        tensors, header = lora_file(model.family, adapters, chosen, layers)
        write_lora(path, tensors, header | lora_metadata(model.family, "mivo", chosen, {}, {}))
        return predict(model)


@pytest.mark.parametrize(("family", "file_format", "kind"), CASES)
def test_what_was_trained_is_what_loads(
    family: str,
    file_format: str,
    kind: str,
    prepared: Prepared,
    models: Models,
    tmp_path: Path,
) -> None:
    model, path = models[family], tmp_path / "mivo.safetensors"
    chosen = settings(save_format=file_format, **KINDS[kind])
    expected = trained(prepared(family), tmp_path, chosen)
    bare = predict(model)
    with applied_lora(model, path):
        ours = predict(model)
    # Training adds the product in one operation, PEFT in two.
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert (ours - bare).abs().max() > 1e-2
    assert torch.equal(predict(model), bare)
    found = read_header(path)
    assert found.family == family
    assert lora_bytes(model, chosen, found.metadata) == path.stat().st_size


@pytest.mark.parametrize(("family", "file_format", "kind"), [c for c in CASES if in_diffusers(*c)])
def test_diffusers_loads_just_that(
    family: str, file_format: str, kind: str, models: Models, tmp_path: Path
) -> None:
    """From a fresh pipeline, without a line of ours."""
    model, path = models[family], tmp_path / "mivo.safetensors"
    chosen = settings(save_format=file_format, **KINDS[kind])
    expected = untrained(model, chosen, path)
    pipeline = PIPELINES[family].from_pretrained(model.name, torch_dtype=torch.float32)
    pipeline.load_lora_weights(str(path))
    for module in (pipeline.unet, *(getattr(pipeline, n) for n in model.encoder_names)):
        for name, parameter in module.named_parameters():
            if "lora_" in name:  # kernels round by where a mapped file lies
                parameter.data = parameter.data.clone()
    assert torch.equal(predict(type(model)(pipeline, model.name)), expected)


def test_sdxl_file_under_diffusers_numbers_loads_too(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    """Some trainers write `lora_unet_down_blocks_...` for SDXL."""
    model = models["sdxl"]
    expected = trained(prepared("sdxl"), tmp_path, settings(text_encoder_lr=1e-3))
    with safe_open(tmp_path / "mivo.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    depth = int(model.pipeline.unet.config.layers_per_block)
    paths = [path for path, _ in model.pipeline.unet.named_modules()]
    theirs = {
        module_name("sdxl", "unet", p, depth): f"lora_unet_{p.replace('.', '_')}" for p in paths
    }
    renamed = {}
    for key, tensor in tensors.items():
        name, _, rest = key.partition(".")
        renamed[f"{theirs.get(name, name)}.{rest}"] = tensor
    assert renamed.keys() != tensors.keys()
    save_file(renamed, tmp_path / "theirs.safetensors", metadata)
    with applied_lora(model, tmp_path / "theirs.safetensors"):
        torch.testing.assert_close(predict(model), expected, rtol=1e-4, atol=1e-4)


def test_alpha_of_every_module_is_its_own(prepared: Prepared, tmp_path: Path) -> None:
    chosen = settings(conv_dim=2, conv_alpha=0.5, block_dims={"down_blocks.1": 8})
    trained(prepared("sdxl"), tmp_path, chosen)
    with safe_open(tmp_path / "mivo.safetensors", "pt") as file:
        pairs = {
            (int(file.get_slice(key.replace(".alpha", ".lora_down.weight")).get_shape()[0])) * 100
            + float(file.get_tensor(key))
            for key in file.keys()  # noqa: SIM118
            if key.endswith(".alpha")
        }
    # dim * 100 + alpha: the network's, the convolutions', and the block's with the same alpha.
    assert pairs == {403.0, 200.5, 803.0}


def test_block_that_the_unet_has_not_is_refused(models: Models) -> None:
    chosen = settings(block_dims={"up_blocks.9": 4})
    with (
        pytest.raises(ConfigError, match=r"no trained layers in up_blocks\.9; it has some in down"),
        trained_adapters(models["sdxl"], chosen),
    ):
        pass
    assert models["sdxl"].fingerprint() == models["sdxl"].loaded_weights


def header(folder: Path) -> dict[str, str]:
    return read_header(folder / "mivo.safetensors").metadata


def test_header_tells_what_other_programs_ask_for(prepared: Prepared, tmp_path: Path) -> None:
    trained(prepared("sdxl"), tmp_path, settings(text_encoder_lr=1e-3, min_snr_gamma=5.0))
    found = header(tmp_path)
    assert found["ss_base_model_version"] == "sdxl_base_v1-0"
    assert found["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert found["ss_network_module"] == "networks.lora"
    assert found["ss_num_train_images"] == "16"  # 8 pictures, 2 repeats
    assert found["ss_num_batches_per_epoch"] == "4"
    assert (found["ss_epoch"], found["ss_num_epochs"], found["ss_steps"]) == ("1", "1", "4")
    assert (found["ss_min_snr_gamma"], found["ss_clip_skip"]) == ("5.0", "None")
    assert len(found["sshs_model_hash"]) == 64


def test_header_names_no_folder_unless_asked(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    data = prepared("sd15")
    trained(data, tmp_path / "a", settings())
    told = " ".join(header(tmp_path / "a").values())
    assert str(tmp_path) not in told
    assert "images" not in told
    assert "monster" not in told
    open_data = PreparedData(data.records, data.model, data.store, names_folders=True)
    trained(open_data, tmp_path / "b", settings())
    found = header(tmp_path / "b")
    assert json.loads(found["ss_dataset_dirs"]) == {"images": {"n_repeats": 2, "img_count": 8}}
    assert sum(json.loads(found["ss_tag_frequency"])["images"].values()) >= 8


def test_peft_file_of_the_other_family_is_refused(
    prepared: Prepared, models: Models, tmp_path: Path
) -> None:
    trained(prepared("sdxl"), tmp_path, settings(save_format="peft", text_encoder_lr=1e-3))
    with (
        pytest.raises(LoraFileError, match=r"is a LoRA for sdxl, but .* is a sd15 model"),
        applied_lora(models["sd15"], tmp_path / "mivo.safetensors"),
    ):
        pass
