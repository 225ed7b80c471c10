"""torch optimizers and learning-rate schedules by the names that sd-scripts' users write."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch.nn import Parameter

from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError
from optimizer.training.adapters import Adapters
from optimizer.training.flat import flattened

UP_MATRICES = "lora_B"


def build_optimizer(
    settings: Hyperparameters, adapters: Adapters, device: torch.device
) -> torch.optim.Optimizer:
    """One parameter group per component, each with its learning rate; two with LoRA+.

    Raises:
        ConfigError: the optimizer does not run on this device.
    """
    if settings.optimizer_type == "PagedAdamW8bit" and device.type != "cuda":
        raise ConfigError("optimizer_type PagedAdamW8bit needs a CUDA device; use AdamW8bit")
    groups = [group for name in adapters.modules for group in _groups(settings, adapters, name)]
    optimizer_class, options = _optimizer_class(settings.optimizer_type)
    # Prodigy prints what it was asked to do.
    with redirect_stdout(io.StringIO()):
        torch_optimizer: torch.optim.Optimizer = optimizer_class(
            groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, **options
        )
    set_averaged(torch_optimizer, False)
    return torch_optimizer


def _groups(
    settings: Hyperparameters, adapters: Adapters, component: str
) -> Iterator[dict[str, Any]]:
    rate = settings.learning_rate_of(component)
    named = list(adapters.named_parameters(component))
    if settings.loraplus_lr_ratio is None:
        yield _group(settings, [p for _, p in named], rate, component)
        return
    ups = [p for name, p in named if UP_MATRICES in name]
    rest = [p for name, p in named if UP_MATRICES not in name]
    yield _group(settings, rest, rate, component)
    yield _group(settings, ups, rate * settings.loraplus_lr_ratio, f"{component} up")


def _group(
    settings: Hyperparameters, parameters: Sequence[Parameter], rate: float, name: str
) -> dict[str, Any]:
    # Adafactor looks at rows and columns.
    whole = settings.optimizer_type == "Adafactor"
    return {"params": parameters if whole else flattened(parameters), "lr": rate, "name": name}


def _optimizer_class(name: str) -> tuple[Any, dict[str, Any]]:
    if name == "AdamW":
        return torch.optim.AdamW, {}
    if name == "Adafactor":
        from transformers.optimization import Adafactor

        # The learning rate is ours to search: Adafactor's own schedule stays off.
        return Adafactor, {"scale_parameter": False, "relative_step": False, "warmup_init": False}
    if name == "Prodigy":
        from prodigyopt import Prodigy

        # The safeguard keeps a warm-up from raising the estimate of the rate.
        return Prodigy, {"use_bias_correction": True, "safeguard_warmup": True}
    if name == "AdamWScheduleFree":
        from schedulefree import AdamWScheduleFree

        return AdamWScheduleFree, {}
    import bitsandbytes

    return type(name, (_MatrixByMatrix, getattr(bitsandbytes.optim, name)), {}), {}


class _MatrixByMatrix:
    """bitsandbytes' optimizer, in 32 bits where the matrices before flattening were small."""

    def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config(gindex, pindex, group)  # type: ignore[misc]
        return config | {"optim_bits": 32} if group["params"][pindex].small else config


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


def learning_rates(torch_optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """What each group learns at now; with Prodigy its estimate times the schedule's rate."""
    groups = torch_optimizer.param_groups
    return {group["name"]: float(group["lr"]) * float(group.get("d", 1)) for group in groups}


@contextmanager
def averaged(torch_optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The weights that are worth drawing with: only AdamWScheduleFree trains others.

    Its own way back from the average rounds, so the trained weights are kept aside.
    """
    if not hasattr(_inner(torch_optimizer), "eval"):
        yield
        return
    parameters = [p for group in torch_optimizer.param_groups for p in group["params"]]
    trained = [parameter.detach().clone() for parameter in parameters]
    set_averaged(torch_optimizer, True)
    try:
        yield
    finally:
        set_averaged(torch_optimizer, False)
        for parameter, kept in zip(parameters, trained, strict=True):
            parameter.data.copy_(kept)


def set_averaged(torch_optimizer: torch.optim.Optimizer, wanted: bool) -> None:
    """Schedule-free optimizers keep two sets of weights and must be told which is in use."""
    switch = getattr(_inner(torch_optimizer), "eval" if wanted else "train", None)
    if switch is not None:
        switch()


def _inner(torch_optimizer: torch.optim.Optimizer) -> Any:
    """accelerate's wrapper has both switches for every optimizer."""
    return getattr(torch_optimizer, "optimizer", torch_optimizer)
