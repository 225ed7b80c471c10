"""What becomes of each setting on its way from one model family to another, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.config.study import FamilyName

Action = Literal["kept", "rescaled", "searched", "dropped"]
Plan = Literal["ladder", "guide", "same"]

LADDER = (1.0, 1 / 3, 3.0)
SDXL_DIMS = (64, 96, 128)
ENCODER_SHARE = (0.5, 0.8)
"""Bounds for SDXL's text_encoder_lr as a share of the learning rate."""


@dataclass(frozen=True)
class Row:
    """What became of one setting."""

    name: str
    source: Any
    target: Any
    action: Action
    reason: str


@dataclass(frozen=True)
class Source:
    """What the rules look at."""

    best: Mapping[str, Any]
    max_train_steps: int | None


def _learning_rate(source: Source) -> Row:
    rate = source.best["learning_rate"]
    rungs = ", ".join(f"{rate * factor:.3g}" for factor in LADDER)
    reason = f"optima shift between families: first trials at {rungs}"
    return Row("learning_rate", rate, rate, "searched", reason)


def _kept_rate(source: Source) -> Row:
    rate = source.best["learning_rate"]
    reason = "the guide's plan, the worst one wherever plans were compared: optima shift"
    return Row("learning_rate", rate, rate, "kept", reason)


def _second_encoder_rate(source: Source) -> Row:
    rate = source.best["text_encoder_2_lr"]
    return Row("text_encoder_2_lr", rate, None, "dropped", "SD1.5 has one text encoder")


def _unet_rate(source: Source) -> Row:
    rate = source.best["unet_lr"]
    return Row("unet_lr", rate, None, "dropped", "follows the searched learning_rate")


def _warmup(source: Source) -> Row:
    steps, total = source.best["lr_warmup_steps"], source.max_train_steps
    if not steps:
        return Row("lr_warmup_steps", steps, steps, "kept", "no warm-up by steps")
    if not isinstance(total, int) or total < 1:
        reason = "a count of steps means nothing at another length, and that length is not known"
        return Row("lr_warmup_steps", steps, None, "dropped", reason)
    ratio = float(f"{steps / total:.3g}")
    return Row("lr_warmup_ratio", steps, ratio, "rescaled", f"{steps} of {total} updates")


def _batch(source: Source) -> Row:
    batch = source.best["train_batch_size"]
    reason = "set by what fits the card at the new resolution"
    return Row("train_batch_size", batch, None, "dropped", reason)


def _accumulation(source: Source) -> Row:
    steps = source.best["gradient_accumulation_steps"]
    return Row("gradient_accumulation_steps", steps, steps, "kept", "as the source accumulated")


def _epochs(source: Source) -> Row:
    epochs = source.best["max_train_epochs"]
    reason = "every checkpoint is scored, so a shorter training shows by itself"
    return Row("max_train_epochs", epochs, epochs, "kept", reason)


def _dim(source: Source) -> Row:
    dim = source.best["network_dim"]
    nearest = _sdxl_dim(dim)
    if nearest == dim:
        return Row("network_dim", dim, dim, "kept", "fits SDXL as it is")
    choices = ", ".join(map(str, SDXL_DIMS))
    return Row("network_dim", dim, nearest, "rescaled", f"nearest of {choices}")


def _sdxl_dim(dim: int) -> int:
    return min(SDXL_DIMS, key=lambda choice: abs(choice - dim))


def _alpha(source: Source) -> Row:
    alpha, dim = source.best["network_alpha"], source.best.get("network_dim")
    if not dim:
        return Row("network_alpha", alpha, None, "dropped", "means nothing without network_dim")
    rescaled = float(f"{_sdxl_dim(dim) * alpha / dim:.6g}")
    action: Action = "kept" if rescaled == alpha else "rescaled"
    return Row("network_alpha", alpha, rescaled, action, f"alpha/dim stays {alpha / dim:.3g}")


def _encoder_rate(source: Source) -> Row:
    name, rate, base = (
        "text_encoder_lr",
        *map(source.best.get, ("text_encoder_lr", "learning_rate")),
    )
    if not rate:
        return Row(name, rate, 0.0, "kept", "text encoders stay frozen")
    if not base:
        return Row(name, rate, None, "dropped", "means nothing without learning_rate")
    low, high = ENCODER_SHARE
    share = min(max(rate / base, low), high)
    action: Action = "kept" if share == rate / base else "rescaled"
    reason = f"{low} to {high} of the learning rate"
    return Row(name, rate, float(f"{base * share:.6g}"), action, reason)


def _clip_skip(source: Source) -> Row:
    reason = "SDXL was trained with fixed layers; clip_skip has no effect there"
    return Row("clip_skip", source.best["clip_skip"], None, "dropped", reason)


Rule = Callable[[Source], Row]

_COMMON_RULES: dict[str, Rule] = {
    "learning_rate": _learning_rate,
    "unet_lr": _unet_rate,
    "lr_warmup_steps": _warmup,
    "train_batch_size": _batch,
    "gradient_accumulation_steps": _accumulation,
    "max_train_epochs": _epochs,
}
_SDXL_RULES: dict[str, Rule] = {
    "network_dim": _dim,
    "network_alpha": _alpha,
    "text_encoder_lr": _encoder_rate,
    "clip_skip": _clip_skip,
}


_SD15_RULES: dict[str, Rule] = {"text_encoder_2_lr": _second_encoder_rate}


def rules_for(source: str, target: FamilyName, plan: Plan) -> dict[str, Rule]:
    """The rules for a family pair; what none of them names is kept."""
    if plan == "same":
        return {}
    rules = dict(_COMMON_RULES)
    if target == "sdxl" and source != "sdxl":
        rules |= _SDXL_RULES
    if target == "sd15":
        rules |= _SD15_RULES
    return rules | ({"learning_rate": _kept_rate} if plan == "guide" else {})
