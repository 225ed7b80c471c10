"""sd-scripts' files: every setting arrives, and only under names that its parsers know."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from optimizer.config.dataset import dataset_config_from, load_config_file
from optimizer.config.kohya_export import KohyaExport, kohya_export
from optimizer.config.kohya_network import block_indexes
from optimizer.config.scoring import ScoringConfig
from optimizer.config.space import SpaceConfig
from optimizer.config.study import ModelConfig, SearchConfig, StudyConfig
from optimizer.config.training import Hyperparameters

KNOWN_ARGUMENTS = {
    "pretrained_model_name_or_path",
    "vae",
    "v_parameterization",
    "zero_terminal_snr",
    "no_half_vae",
    "xformers",
    "sdpa",
    "output_name",
    "output_dir",
    "save_model_as",
    "dataset_config",
    "network_module",
    "network_dim",
    "network_alpha",
    "network_dropout",
    "network_args",
    "network_train_unet_only",
    "learning_rate",
    "unet_lr",
    "text_encoder_lr",
    "optimizer_type",
    "optimizer_args",
    "lr_warmup_steps",
    "lr_scheduler",
    "lr_scheduler_num_cycles",
    "gradient_accumulation_steps",
    "max_train_epochs",
    "save_every_n_epochs",
    "max_grad_norm",
    "loss_type",
    "save_precision",
    "seed",
    "scale_weight_norms",
    "min_snr_gamma",
    "noise_offset",
    "ip_noise_gamma",
    "clip_skip",
    "multires_noise_iterations",
    "multires_noise_discount",
    "debiased_estimation_loss",
    "huber_c",
    "huber_schedule",
    "max_token_length",
    "prior_loss_weight",
    "gradient_checkpointing",
    "mixed_precision",
    "cache_latents",
    "cache_text_encoder_outputs",
}
"""Of train_network.py and sdxl_train_network.py, read in sd-scripts' argument parsers."""

OTHER: dict[str, Any] = {
    "unet_lr": 3e-4,
    "text_encoder_lr": 1e-5,
    "text_encoder_2_lr": 2e-5,
    "loraplus_lr_ratio": 16.0,
    "network_dropout": 0.1,
    "targets": "attention",
    "conv_dim": 4,
    "conv_alpha": 3.0,
    "block_dims": {"mid_block": 4},
    "use_dora": True,
    "use_rslora": True,
    "optimizer_type": "Lion",
    "scale_weight_norms": 1.0,
    "lr_scheduler": "linear",
    "lr_warmup_ratio": 0.1,
    "train_batch_size": 3,
    "loss_type": "huber",
    "huber_schedule": "constant",
    "min_snr_gamma": 5.0,
    "debiased_estimation_loss": True,
    "clip_skip": 2,
    "max_token_length": 225,
    "gradient_checkpointing": False,
    "mixed_precision": "fp16",
    "save_precision": "float",
    "save_format": "peft",
}
"""A value that is not the default; numbers that are not here are doubled."""
TOGETHER: dict[str, dict[str, Any]] = {
    "conv_alpha": {"conv_dim": 4},
    "text_encoder_2_lr": {"text_encoder_lr": 1e-5},
    "huber_c": {"loss_type": "huber"},
    "huber_schedule": {"loss_type": "huber"},
    "multires_noise_discount": {"multires_noise_iterations": 6},
}
"""What a setting means nothing without."""


def study(tmp_path: Path, family: str = "sdxl", **dataset: object) -> StudyConfig:
    subset = {"image_dir": str(tmp_path / "images"), "num_repeats": 3, "keep_tokens": 2}
    table = {"resolution": [1024, 768], "batch_size": 2, "subsets": [subset | dataset]}
    return StudyConfig(
        path=tmp_path / "study.toml",
        study=SearchConfig(name="mivo", n_trials=1, search_space=tmp_path / "space.toml"),
        model=ModelConfig.model_validate(
            {"family": family, "pretrained_model_name_or_path": "owner/model"}
        ),
        dataset=dataset_config_from({"datasets": [table]}, tmp_path / "study.toml"),
        scoring=ScoringConfig(
            clip_model="owner/clip", trigger="mivo", class_word="cat", prompts=("a {trigger}",)
        ),
        training=Hyperparameters(),
        space=SpaceConfig.model_validate(
            {"parameters": {"learning_rate": {"type": "float", "low": 1e-5, "high": 1e-3}}}
        ),
    )


def export(tmp_path: Path, family: str = "sdxl", **chosen: object) -> KohyaExport:
    return kohya_export(study(tmp_path, family), Hyperparameters.model_validate(chosen))


@pytest.mark.parametrize("name", sorted(Hyperparameters.model_fields))
def test_every_hyperparameter_is_written_or_named(name: str, tmp_path: Path) -> None:
    around = TOGETHER.get(name, {})
    default = Hyperparameters.model_fields[name].default
    changed = OTHER[name] if name in OTHER else (default * 2 or 1)
    before, after = export(tmp_path, **around), export(tmp_path, **around, **{name: changed})
    assert after != before


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_only_known_arguments_are_written(family: str, tmp_path: Path) -> None:
    everything = {k: v for k, v in OTHER.items() if k not in ("use_rslora", "scale_weight_norms")}
    for chosen in ({}, everything, {"scale_weight_norms": 1.0, "multires_noise_iterations": 6}):
        assert set(export(tmp_path, family, **chosen).arguments) <= KNOWN_ARGUMENTS


def test_family_chooses_the_script(tmp_path: Path) -> None:
    assert export(tmp_path, "sd15").script == "train_network.py"
    sdxl = export(tmp_path, "sdxl")
    assert sdxl.script == "sdxl_train_network.py"
    assert sdxl.arguments["no_half_vae"] is True
    assert "no_half_vae" not in export(tmp_path, "sd15").arguments


def test_dataset_is_read_back_as_it_was(tmp_path: Path) -> None:
    config = study(tmp_path, shuffle_caption=True, caption_extension=".txt", is_reg=False)
    exported = kohya_export(config, Hyperparameters())
    path = tmp_path / "dataset.toml"
    path.write_text(tomli_w.dumps(exported.dataset))
    assert load_config_file(path)[0] == config.dataset
    flat = tmp_path / "flat.toml"
    flat.write_text(tomli_w.dumps(exported.arguments | {"dataset_config": str(path)}))
    dataset, others = load_config_file(flat)
    assert dataset == config.dataset
    assert others["learning_rate"] == 1e-4


def test_batch_size_of_the_trial_goes_to_the_dataset(tmp_path: Path) -> None:
    exported = export(tmp_path, train_batch_size=7)
    assert exported.dataset["datasets"][0]["batch_size"] == 7
    assert exported.dataset["datasets"][0]["resolution"] == [1024, 768]
    assert export(tmp_path).dataset["datasets"][0]["batch_size"] == 2


def test_caches_are_asked_for_only_where_sd_scripts_allows_them(tmp_path: Path) -> None:
    plain = export(tmp_path).arguments
    assert plain["cache_latents"] and plain["cache_text_encoder_outputs"]
    assert "cache_text_encoder_outputs" not in export(tmp_path, text_encoder_lr=1e-5).arguments
    shuffled = kohya_export(study(tmp_path, shuffle_caption=True), Hyperparameters()).arguments
    assert shuffled["cache_latents"]
    assert "cache_text_encoder_outputs" not in shuffled
    cropped = kohya_export(study(tmp_path, random_crop=True), Hyperparameters()).arguments
    assert "cache_latents" not in cropped


def test_scale_of_rslora_is_kept(tmp_path: Path) -> None:
    chosen = {"network_dim": 16, "network_alpha": 8.0, "use_rslora": True, "conv_dim": 4}
    arguments = export(tmp_path, **chosen).arguments
    assert arguments["network_alpha"] / 16 == pytest.approx(8 / 16**0.5)
    conv = dict(arg.split("=") for arg in arguments["network_args"])
    assert float(conv["conv_alpha"]) / 4 == pytest.approx(2 / 4**0.5)


@pytest.mark.parametrize(
    ("family", "block", "indexes"),
    [
        ("sdxl", "down_blocks.0", [2, 3, 4]),
        ("sdxl", "down_blocks.1", [5, 6, 7]),
        ("sdxl", "down_blocks.2", [8, 9]),
        ("sdxl", "mid_block", [10, 11, 12]),
        ("sdxl", "up_blocks.0", [13, 14, 15]),
        ("sdxl", "up_blocks.2", [19, 20, 21]),
        ("sd15", "down_blocks.0", [1, 2, 3]),
        ("sd15", "down_blocks.3", [10, 11]),
        ("sd15", "mid_block", [12]),
        ("sd15", "up_blocks.3", [22, 23, 24]),
    ],
)
def test_blocks_stand_where_sd_scripts_counts_them(
    family: Any, block: str, indexes: list[int]
) -> None:
    assert list(block_indexes(family, block)) == indexes


def test_block_dims_are_a_full_list(tmp_path: Path) -> None:
    arguments = export(tmp_path, network_dim=8, block_dims={"down_blocks.1": 2}).arguments
    assert arguments["network_args"] == ["block_dims=8,8,8,8,8,2,2,2," + ",".join(["8"] * 15)]


def test_what_is_done_otherwise_is_said(tmp_path: Path) -> None:
    (tmp_path / "captions").mkdir()
    said = " ".join(export(tmp_path, targets="attention", network_dropout=0.1).differences)
    assert "4 pictures that the study held out" in said
    assert f"captions in {tmp_path / 'captions'} are not found there" in said
    assert "networks.lora trains feed-forward layers" in said
    assert "after the down matrix" in said


def test_values_survive_toml(tmp_path: Path) -> None:
    arguments = export(tmp_path, learning_rate=7.3e-5, lr_warmup_ratio=0.1).arguments
    again = tomllib.loads(tomli_w.dumps(arguments))
    assert again == arguments
    assert again["lr_warmup_steps"] == 0.1
