"""The header of a LoRA file: what A1111, ComfyUI, sd-scripts and their users read in it."""

import json
from collections.abc import Mapping
from typing import Any

from optimizer.config.training import Hyperparameters
from optimizer.models.registry import FAMILIES

_SAME_NAME = (
    *("learning_rate", "text_encoder_lr", "network_dim", "network_alpha", "network_dropout"),
    *("lr_scheduler", "gradient_checkpointing", "gradient_accumulation_steps", "max_grad_norm"),
    *("scale_weight_norms", "min_snr_gamma", "noise_offset", "multires_noise_iterations"),
    *("multires_noise_discount", "ip_noise_gamma", "loss_type", "huber_c", "huber_schedule"),
    *("prior_loss_weight", "clip_skip", "max_token_length", "seed", "lr_warmup_steps"),
)
"""Written as `ss_<name>`."""


def lora_metadata(
    family: str,
    name: str,
    settings: Hyperparameters,
    data: Mapping[str, Any],
    run: Mapping[str, Any],
) -> dict[str, str]:
    """The header under sd-scripts' names, all values as text.

    Args:
        name: of the file, without what says the epoch.
        data: what it says of the pictures.
        run: what it says of the run so far.
    """
    known = FAMILIES[family]
    facts = {f"ss_{key}": getattr(settings, key) for key in _SAME_NAME}
    facts |= {
        "ss_output_name": name,
        "ss_base_model_version": known.base_model_version,
        "ss_v2": False,
        "ss_network_module": "lycoris.kohya" if settings.use_dora else "networks.lora",
        "ss_network_args": _network_args(settings),
        "ss_unet_lr": settings.effective_unet_lr,
        "ss_optimizer": settings.optimizer_type,
        "ss_num_epochs": settings.max_train_epochs,
        "ss_debiased_estimation": settings.debiased_estimation_loss,
        "ss_cache_latents": True,
        "ss_lowram": False,
        "ss_full_fp16": False,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": known.architecture,
        "modelspec.title": name,
    }
    return {key: str(value) for key, value in {**facts, **data, **run}.items()}


def _network_args(settings: Hyperparameters) -> str | None:
    """JSON in sd-scripts' files; only what differs from a plain adapter."""
    args: dict[str, Any] = {}
    if settings.conv_dim is not None:
        args |= {"conv_dim": settings.conv_dim, "conv_alpha": settings.conv_alpha}
    if settings.use_dora:
        args |= {"algo": "lora", "dora_wd": True}
    if settings.loraplus_lr_ratio is not None:
        args["loraplus_lr_ratio"] = settings.loraplus_lr_ratio
    return json.dumps(args) if args else None
