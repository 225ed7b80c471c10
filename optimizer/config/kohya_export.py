"""A study's settings as the files and the command that sd-scripts takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.config.dataset import Dataset, DatasetConfig, Subset
from optimizer.config.kohya_network import network_arguments
from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters

SCRIPTS = {"sd15": "train_network.py", "sdxl": "sdxl_train_network.py"}

_SAME = (
    *("gradient_accumulation_steps", "max_train_epochs", "save_every_n_epochs", "max_grad_norm"),
    *("lr_scheduler", "lr_scheduler_num_cycles", "loss_type", "save_precision", "seed"),
)
"""Written as they are."""
_SAME_WHERE_GIVEN = (
    *("scale_weight_norms", "min_snr_gamma", "noise_offset", "ip_noise_gamma", "clip_skip"),
    *("multires_noise_iterations", "debiased_estimation_loss"),
)
"""Written where they do something: there, 0 is not always nothing."""

_OPTIMIZER_ARGS = {
    "Adafactor": ["relative_step=False", "scale_parameter=False", "warmup_init=False"],
    "Prodigy": ["use_bias_correction=True", "safeguard_warmup=True"],
}
_DATASET_KEYS = (
    *("batch_size", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps"),
    *("bucket_no_upscale", "validation_split", "validation_seed"),
)
_VARYING = (
    *("shuffle_caption", "caption_dropout_rate", "caption_tag_dropout_rate"),
    *("token_warmup_step", "caption_dropout_every_n_epochs", "enable_wildcard"),
)


@dataclass(frozen=True)
class KohyaExport:
    """What to write for sd-scripts.

    arguments: of the script, for `--config_file`. dataset: tables of a dataset_config.
    differences: what it does otherwise than the trials did, a sentence each.
    """

    script: str
    arguments: dict[str, Any]
    dataset: dict[str, Any]
    differences: tuple[str, ...]


def kohya_export(config: StudyConfig, settings: Hyperparameters) -> KohyaExport:
    """The equivalent sd-scripts training of some settings of a study."""
    family = config.model.family
    arguments = {
        **_model_arguments(config),
        "output_name": config.name,
        "save_model_as": "safetensors",
        **network_arguments(family, settings),
        **_optimization(settings),
        **_training(settings),
        **_caching(config.dataset, settings),
    }
    tables = {"datasets": [_dataset(d, settings) for d in config.dataset.datasets]}
    found = (
        *_data_differences(config),
        *_network_differences(settings),
        *_other_differences(settings),
    )
    return KohyaExport(SCRIPTS[family], arguments, tables, found)


def _model_arguments(config: StudyConfig) -> dict[str, Any]:
    model = config.model
    arguments: dict[str, Any] = {
        "pretrained_model_name_or_path": model.pretrained_model_name_or_path
    }
    if model.vae is not None:
        arguments["vae"] = model.vae
    if model.v_parameterization:
        arguments["v_parameterization"] = True
    if model.zero_terminal_snr:
        arguments["zero_terminal_snr"] = True
    if model.family == "sdxl":
        arguments["no_half_vae"] = True
    return arguments | {"xformers" if model.attention == "xformers" else "sdpa": True}


def _optimization(settings: Hyperparameters) -> dict[str, Any]:
    args = [f"weight_decay={settings.weight_decay:g}"]
    args += _OPTIMIZER_ARGS.get(settings.optimizer_type, [])
    arguments = {
        "learning_rate": settings.learning_rate,
        "unet_lr": settings.effective_unet_lr,
        "optimizer_type": settings.optimizer_type,
        "optimizer_args": args,
    }
    if settings.trains_text_encoders:
        arguments["text_encoder_lr"] = settings.text_encoder_lr
    else:
        arguments["network_train_unet_only"] = True
    if warmup := settings.lr_warmup_steps or settings.lr_warmup_ratio:
        arguments["lr_warmup_steps"] = warmup  # below 1 it is a share there too
    return arguments


def _training(settings: Hyperparameters) -> dict[str, Any]:
    arguments = {key: getattr(settings, key) for key in _SAME}
    arguments |= {key: value for key in _SAME_WHERE_GIVEN if (value := getattr(settings, key))}
    if settings.multires_noise_iterations:
        arguments["multires_noise_discount"] = settings.multires_noise_discount
    if settings.loss_type in ("huber", "smooth_l1"):
        arguments |= {"huber_c": settings.huber_c, "huber_schedule": settings.huber_schedule}
    if settings.max_token_length > 75:
        arguments["max_token_length"] = settings.max_token_length
    precision = "bf16" if settings.mixed_precision == "auto" else settings.mixed_precision
    return arguments | {
        "prior_loss_weight": settings.prior_loss_weight,
        "gradient_checkpointing": bool(settings.gradient_checkpointing),
        "mixed_precision": precision,
    }


def _caching(dataset: DatasetConfig, settings: Hyperparameters) -> dict[str, Any]:
    """Each only where sd-scripts allows it."""
    subsets = [subset for one in dataset.datasets for subset in one.subsets]
    arguments = {}
    if not any(subset.color_aug or subset.random_crop for subset in subsets):
        arguments["cache_latents"] = True
    varied = any(getattr(subset, key) for subset in subsets for key in _VARYING)
    if not varied and not settings.trains_text_encoders:
        arguments["cache_text_encoder_outputs"] = True
    return arguments


def _dataset(dataset: Dataset, settings: Hyperparameters) -> dict[str, Any]:
    table = {key: getattr(dataset, key) for key in _DATASET_KEYS}
    table["resolution"] = list(dataset.resolution)
    table["batch_size"] = settings.train_batch_size or dataset.batch_size
    table["subsets"] = [_subset(subset) for subset in dataset.subsets]
    return {key: value for key, value in table.items() if value is not None}


def _subset(subset: Subset) -> dict[str, Any]:
    """What differs from sd-scripts' own defaults, which are ours."""
    given = subset.model_dump(exclude_defaults=True)
    return given | {"image_dir": str(Path(subset.image_dir).absolute())}


def _data_differences(config: StudyConfig) -> Iterator[str]:
    if config.study.hold_out and config.scoring.reference_dir is None:
        yield (
            f"the {config.study.hold_out} pictures that the study held out are trained on there; "
            "move them out of the folder to keep them apart"
        )
    for folder in _caption_folders(config.dataset):
        yield f"captions in {folder} are not found there; put each beside its picture"
    yield "transparent parts of pictures are not put on white there; flatten such pictures first"


def _network_differences(settings: Hyperparameters) -> Iterator[str]:
    if settings.targets == "attention" and not settings.use_dora:
        yield "networks.lora trains feed-forward layers and projections too; no argument leaves it"
    if settings.text_encoder_2_lr not in (None, settings.text_encoder_lr):
        yield "networks.lora has one rate for both text encoders; text_encoder_2_lr is left out"
    if settings.use_dora:
        yield "DoRA needs the lycoris-lora package there"
    if settings.use_rslora:
        yield "rsLoRA is written as the network_alpha that scales the same"


def _other_differences(settings: Hyperparameters) -> Iterator[str]:
    if settings.gradient_checkpointing == "auto":
        yield 'gradient_checkpointing = "auto" is written as true'
    if settings.mixed_precision == "auto":
        yield 'mixed_precision = "auto" is written as bf16; older cards want fp16'
    if settings.network_dropout:
        yield "network_dropout is applied after the down matrix there, before it here"
    if settings.save_format == "peft":
        yield "files are written in sd-scripts' format there, not in PEFT's"


def _caption_folders(dataset: DatasetConfig) -> list[Path]:
    """Folders of captions that only we look into."""
    folders = [subset.image_dir for one in dataset.datasets for subset in one.subsets]
    inner = [place / "captions" for folder in folders for place in (folder.parent, folder)]
    return [folder for folder in dict.fromkeys(inner) if folder.is_dir()]
