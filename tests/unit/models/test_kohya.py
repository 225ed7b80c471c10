"""Names of LoRA modules: those of the real models, checked without weights."""

import pytest
import torch
from diffusers.loaders.lora_conversion_utils import (
    _convert_non_diffusers_lora_to_diffusers,
    _maybe_map_sgm_blocks_to_diffusers,
)

from optimizer.models.full_size import full_size_model
from optimizer.models.kohya import module_name, original_unet_path

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")


def sdxl_paths() -> list[str]:
    """Paths of all trained modules in SDXL's real UNet."""
    unet = full_size_model("sdxl").modules["unet"]
    return [name for name, _ in unet.named_modules() if name.endswith(TARGETS)]


def test_sdxl_has_722_modules_under_the_names_that_sd_scripts_writes() -> None:
    names = {module_name("sdxl", "unet", path, 2) for path in sdxl_paths()}
    assert len(names) == 722
    blocks = {"_".join(name.split("_")[2:6]) for name in names if "middle" not in name}
    wanted = {f"input_blocks_{n}_1" for n in (4, 5, 7, 8)}
    assert blocks == wanted | {f"output_blocks_{n}_1" for n in range(6)}
    first = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    assert {first, "lora_unet_middle_block_1_transformer_blocks_9_ff_net_2"} <= names


def test_diffusers_reads_every_sdxl_name_back_as_the_same_module() -> None:
    paths = sdxl_paths()
    tensor = torch.zeros(1)
    file = {}
    for path in paths:
        name = module_name("sdxl", "unet", path, 2)
        file |= {f"{name}.lora_down.weight": tensor, f"{name}.lora_up.weight": tensor}
    config = type("Config", (), {"layers_per_block": 2})
    state, _ = _convert_non_diffusers_lora_to_diffusers(
        _maybe_map_sgm_blocks_to_diffusers(file, config)
    )
    found = {_module_of(key) for key in state if ".down." in key or "_lora.down." in key}
    assert found == {path.replace(".to_out.0", ".to_out") for path in paths}


def _module_of(key: str) -> str:
    bare = key.removeprefix("unet.").removesuffix(".weight")
    return bare.replace(".processor.", ".").replace("_lora.down", "").replace(".lora.down", "")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("down_blocks.0.attentions.1.proj_in", "input_blocks.2.1.proj_in"),
        ("down_blocks.1.resnets.0.conv1", "input_blocks.4.0.in_layers.2"),
        ("down_blocks.1.downsamplers.0.conv", "input_blocks.6.0.op"),
        ("mid_block.attentions.0.proj_in", "middle_block.1.proj_in"),
        ("mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"),
        ("up_blocks.0.attentions.2.proj_out", "output_blocks.2.1.proj_out"),
        ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"),
        ("time_embedding.linear_1", "time_embedding.linear_1"),
    ],
)
def test_blocks_are_numbered_as_in_the_original_code(path: str, named: str) -> None:
    assert original_unet_path(path, layers_per_block=2) == named


@pytest.mark.parametrize(
    ("family", "component", "prefix"),
    [
        ("sd15", "text_encoder", "lora_te"),
        ("sdxl", "text_encoder", "lora_te1"),
        ("sdxl", "text_encoder_2", "lora_te2"),
    ],
)
@pytest.mark.parametrize("inside", ["", "text_model."])
def test_text_encoders_keep_text_model_in_the_name(
    family: str, component: str, prefix: str, inside: str
) -> None:
    name = module_name(family, component, f"{inside}encoder.layers.0.mlp.fc1", 2)
    assert name == f"{prefix}_text_model_encoder_layers_0_mlp_fc1"


def test_sd15_keeps_diffusers_blocks() -> None:
    name = module_name("sd15", "unet", "down_blocks.0.attentions.0.proj_in", 2)
    assert name == "lora_unet_down_blocks_0_attentions_0_proj_in"
