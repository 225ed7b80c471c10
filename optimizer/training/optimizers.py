"""torch optimizers and learning-rate schedules by the names that sd-scripts' users write."""

from typing import Any

import torch
from diffusers.optimization import get_scheduler

from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError
from optimizer.training.adapters import Adapters


def build_optimizer(
    settings: Hyperparameters, adapters: Adapters, device: torch.device
) -> torch.optim.Optimizer:
    """One parameter group per component, each with its learning rate.

    Raises:
        ConfigError: the optimizer does not run on this device.
    """
    groups = [
        {"params": adapters.parameters(name), "lr": _learning_rate(settings, name), "name": name}
        for name in adapters.modules
    ]
    if settings.optimizer_type == "PagedAdamW8bit" and device.type != "cuda":
        raise ConfigError("optimizer_type PagedAdamW8bit needs a CUDA device; use AdamW8bit")
    optimizer_class, options = _optimizer_class(settings.optimizer_type)
    torch_optimizer: torch.optim.Optimizer = optimizer_class(
        groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, **options
    )
    return torch_optimizer


def _learning_rate(settings: Hyperparameters, component: str) -> float:
    return settings.effective_unet_lr if component == "unet" else settings.text_encoder_lr


def _optimizer_class(name: str) -> tuple[Any, dict[str, Any]]:
    if name == "AdamW":
        return torch.optim.AdamW, {}
    if name == "Adafactor":
        from transformers.optimization import Adafactor

        # The learning rate is ours to search: Adafactor's own schedule stays off.
        return Adafactor, {"scale_parameter": False, "relative_step": False, "warmup_init": False}
    import bitsandbytes

    return getattr(bitsandbytes.optim, name), {}


def build_schedule(
    settings: Hyperparameters, torch_optimizer: torch.optim.Optimizer, updates: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Learning rate over all updates; warm-up counted in updates or as a share of them."""
    warmup = settings.lr_warmup_steps or round(settings.lr_warmup_ratio * updates)
    schedule: torch.optim.lr_scheduler.LRScheduler = get_scheduler(
        settings.lr_scheduler,
        torch_optimizer,
        num_warmup_steps=min(warmup, updates),
        num_training_steps=updates,
        num_cycles=settings.lr_scheduler_num_cycles,
    )
    return schedule
