"""Hyperparameters as PEFT's LoraConfig: which layers are trained, at what rank and scale."""

import math
import re

from peft import LoraConfig

from optimizer.config.training import Hyperparameters, Targets

UNET_TARGETS: dict[Targets, list[str]] = {
    "attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "transformer": [
        *("to_q", "to_k", "to_v", "to_out.0"),
        *("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    ],
}
ENCODER_TARGETS: dict[Targets, list[str]] = {
    "attention": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "transformer": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}
CONVOLUTIONS = ["conv1", "conv2", "downsamplers.0.conv", "upsamplers.0.conv"]
"""The 3x3 ones, of rank conv_dim."""
RESIDUAL_LAYERS = ["time_emb_proj", "conv_shortcut"]
"""What else sd-scripts trains of residual blocks with conv_dim, of rank network_dim."""


def adapter_config(component: str, settings: Hyperparameters) -> LoraConfig:
    """PEFT's configuration of one component (`unet`, `text_encoder`, `text_encoder_2`)."""
    unet = component == "unet"
    targets = list((UNET_TARGETS if unet else ENCODER_TARGETS)[settings.targets])
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    if unet and settings.conv_dim is not None:
        targets += CONVOLUTIONS + RESIDUAL_LAYERS
        pattern = "|".join(map(re.escape, CONVOLUTIONS))
        ranks[pattern] = settings.conv_dim
        alphas[pattern] = _alpha(settings, settings.conv_dim, settings.conv_alpha)
    for block, rank in settings.block_dims.items() if unet else ():
        pattern = rf"{re.escape(block)}\..*"
        ranks[pattern] = rank
        # The same alpha everywhere, as in sd-scripts; diffusers misreads others in attention.
        alphas[pattern] = settings.network_alpha
    return LoraConfig(
        r=settings.network_dim,
        lora_alpha=_alpha(settings, settings.network_dim),  # PEFT only divides by it
        rank_pattern=ranks,
        alpha_pattern=alphas,
        lora_dropout=settings.network_dropout,
        target_modules=targets,
        use_dora=settings.use_dora,
    )


def _alpha(settings: Hyperparameters, rank: int, alpha: float | None = None) -> float:
    """What PEFT divides by the rank; network_alpha's share of it where no alpha is given.

    rsLoRA is another alpha, alpha * sqrt(rank): so written, every loader scales alike, PEFT's own
    switch is known to none of them.
    """
    if alpha is None:
        alpha = settings.network_alpha * rank / settings.network_dim
    return alpha * math.sqrt(rank) if settings.use_rslora else alpha
