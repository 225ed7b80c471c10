"""Modules, names and bytes of full-size LoRAs, counted without weights."""

from collections import Counter

import pytest
import torch

from optimizer.config.training import Hyperparameters
from optimizer.models.full_size import full_size_model
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.lora_file import lora_file
from optimizer.training.lora_size import file_bytes, lora_bytes

ALL = {"text_encoder_lr": 1e-5, "targets": "transformer"}


@pytest.fixture(scope="module")
def sdxl() -> PipelineModel:
    return full_size_model("sdxl")


@pytest.fixture(scope="module")
def sd15() -> PipelineModel:
    return full_size_model("sd15")


def shapes(model: PipelineModel, **chosen: object) -> dict[str, tuple[int, ...]]:
    """Shapes of a file's tensors by their names."""
    settings = Hyperparameters.model_validate({"network_dim": 16} | chosen)
    with torch.device("meta"), trained_adapters(model, settings) as adapters:
        tensors, _ = lora_file(model.family, adapters, settings, 2)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def modules(names: dict[str, tuple[int, ...]]) -> Counter[str]:
    """Modules by the prefix of their component."""
    found = {name.partition(".")[0] for name in names}
    return Counter("_".join(name.split("_")[:2]) for name in found)


def test_sdxl_has_722_and_72_and_192_modules(sdxl: PipelineModel) -> None:
    found = shapes(sdxl, **ALL)
    assert modules(found) == {"lora_unet": 722, "lora_te1": 72, "lora_te2": 192}
    assert len(found) == 3 * 986


def test_attention_alone_is_560_modules(sdxl: PipelineModel) -> None:
    found = shapes(sdxl, targets="attention", text_encoder_lr=1e-5)
    assert modules(found) == {"lora_unet": 560, "lora_te1": 48, "lora_te2": 128}


def test_sd15_has_192_and_72_modules(sd15: PipelineModel) -> None:
    assert modules(shapes(sd15, **ALL)) == {"lora_unet": 192, "lora_te": 72}


def test_sdxl_shapes_are_those_that_sd_scripts_writes(sdxl: PipelineModel) -> None:
    found = shapes(sdxl, **ALL, conv_dim=4)
    to_k = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    assert found[f"{to_k}.lora_down.weight"] == (16, 2048)
    assert found[f"{to_k}.lora_up.weight"] == (640, 16)
    assert found[f"{to_k}.alpha"] == ()
    assert found["lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"] == (3072, 16)
    assert found["lora_te2_text_model_encoder_layers_31_mlp_fc2.lora_down.weight"] == (16, 5120)
    assert found["lora_unet_input_blocks_1_0_in_layers_2.lora_down.weight"] == (4, 320, 3, 3)
    assert found["lora_unet_input_blocks_3_0_op.lora_up.weight"] == (320, 4, 1, 1)
    assert found["lora_unet_output_blocks_2_2_conv.lora_down.weight"] == (4, 1280, 3, 3)
    assert found["lora_unet_middle_block_2_emb_layers_1.lora_down.weight"] == (16, 1280)
    assert found["lora_unet_output_blocks_8_0_skip_connection.lora_up.weight"] == (320, 16, 1, 1)


def test_parameters_per_rank_are_the_known_ones(sdxl: PipelineModel, sd15: PipelineModel) -> None:
    """The known numbers: 2,659,840 + 165,888 + 737,280 for SDXL, 423,936 + 165,888 for SD1.5."""
    for model, known in ((sdxl, 3_563_008), (sd15, 423_936 + 165_888)):
        with torch.device("meta"):
            settings = Hyperparameters(network_dim=1, network_alpha=1.0, text_encoder_lr=1e-5)
            with trained_adapters(model, settings) as adapters:
                assert sum(p.numel() for p in adapters.parameters()) == known


@pytest.mark.parametrize(("rank", "megabytes"), [(32, 228.0), (64, 456.1), (128, 912.1)])
def test_sdxl_files_are_as_large_as_sd_scripts_ones(
    rank: int, megabytes: float, sdxl: PipelineModel
) -> None:
    settings = Hyperparameters(network_dim=rank, text_encoder_lr=1e-5)
    assert lora_bytes(sdxl, settings, {}) / 1e6 == pytest.approx(megabytes, rel=0.005)


def test_bytes_are_counted_without_holding_any(sdxl: PipelineModel) -> None:
    lora_bytes(sdxl, Hyperparameters(network_dim=128), {})
    assert all(p.is_meta for m in sdxl.modules.values() for p in m.parameters())


def test_size_is_that_of_the_written_file() -> None:
    from safetensors.torch import save

    tensors = {
        "b.alpha": torch.tensor(3.0),
        "a.down": torch.zeros(4, 7, dtype=torch.float16),
        "z.up": torch.zeros(5, 3, 1, 1, dtype=torch.bfloat16),
        "c.empty": torch.zeros(0, 4),
    }
    for metadata in ({"title": "été", "quote": 'a "b"'}, {"x": "1"}):
        assert file_bytes(tensors, metadata) == len(save(tensors, metadata))
