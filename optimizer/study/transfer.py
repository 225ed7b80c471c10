"""Carrying the best settings of one model family over to another, by explicit rules.

Fixing the learning rate at the source's best was the worst plan in every setting tried, and taking
it over unchanged is a guess, so it becomes a ladder of first trials and stays searched.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from optimizer.config.study import FamilyName
from optimizer.config.training import Hyperparameters
from optimizer.errors import TransferError

Action = Literal["kept", "rescaled", "searched", "dropped"]

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
class Transfer:
    """Settings for the target family: the table, and the trials to begin with."""

    source_family: str
    target_family: FamilyName
    rows: tuple[Row, ...]
    seeds: tuple[dict[str, Any], ...]
    provenance: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for transfer.json."""
        return asdict(self)


def transfer(
    best: Mapping[str, Any], target: FamilyName, provenance: dict[str, Any] | None = None
) -> Transfer:
    """Carry flat best parameters over to another family.

    Args:
        best: effective hyperparameters by name; unknown names are dropped and said.
        provenance: where they come from, kept beside the result.

    Raises:
        TransferError: nothing in `best` can be used.
    """
    provenance = provenance or {}
    source_family = str(provenance.get("family", "sd15"))
    source = _Source(
        best, provenance.get("max_train_steps"), target == "sdxl" and source_family != "sdxl"
    )
    rows = tuple(_row(name, source) for name in best)
    values = {row.name: row.target for row in rows if row.action != "dropped"}
    if not values:
        raise TransferError("none of the best parameters can be carried over")
    return Transfer(source_family, target, rows, _seeds(values), provenance)


def _row(name: str, source: "_Source") -> Row:
    value = source.best[name]
    if name not in Hyperparameters.model_fields:
        return Row(name, value, None, "dropped", "not a hyperparameter of this program")
    rules = _SDXL_RULES | _COMMON_RULES if source.to_sdxl else _COMMON_RULES
    if name in rules:
        return rules[name](source)
    return Row(name, value, value, "kept", "does not depend on the base model")


@dataclass(frozen=True)
class _Source:
    """What the rules look at."""

    best: Mapping[str, Any]
    max_train_steps: int | None
    to_sdxl: bool


def _learning_rate(source: _Source) -> Row:
    rate = source.best["learning_rate"]
    rungs = ", ".join(f"{rate * factor:.3g}" for factor in LADDER)
    reason = f"optima shift between families: first trials at {rungs}"
    return Row("learning_rate", rate, rate, "searched", reason)


def _unet_rate(source: _Source) -> Row:
    rate = source.best["unet_lr"]
    return Row("unet_lr", rate, None, "dropped", "follows the searched learning_rate")


def _warmup(source: _Source) -> Row:
    steps, total = source.best["lr_warmup_steps"], source.max_train_steps
    if not steps:
        return Row("lr_warmup_steps", steps, steps, "kept", "no warm-up by steps")
    if not isinstance(total, int) or total < 1:
        reason = "a count of steps means nothing at another length, and that length is not known"
        return Row("lr_warmup_steps", steps, None, "dropped", reason)
    ratio = float(f"{steps / total:.3g}")
    return Row("lr_warmup_ratio", steps, ratio, "rescaled", f"{steps} of {total} updates")


def _batch(source: _Source) -> Row:
    batch = source.best["train_batch_size"]
    reason = "set by what fits the card at the new resolution"
    return Row("train_batch_size", batch, None, "dropped", reason)


def _accumulation(source: _Source) -> Row:
    steps = source.best["gradient_accumulation_steps"]
    return Row("gradient_accumulation_steps", steps, steps, "kept", "as the source accumulated")


def _epochs(source: _Source) -> Row:
    epochs = source.best["max_train_epochs"]
    reason = "every checkpoint is scored, so a shorter training shows by itself"
    return Row("max_train_epochs", epochs, epochs, "kept", reason)


def _dim(source: _Source) -> Row:
    dim = source.best["network_dim"]
    nearest = _sdxl_dim(dim)
    if nearest == dim:
        return Row("network_dim", dim, dim, "kept", "fits SDXL as it is")
    choices = ", ".join(map(str, SDXL_DIMS))
    return Row("network_dim", dim, nearest, "rescaled", f"nearest of {choices}")


def _sdxl_dim(dim: int) -> int:
    return min(SDXL_DIMS, key=lambda choice: abs(choice - dim))


def _alpha(source: _Source) -> Row:
    alpha, dim = source.best["network_alpha"], source.best.get("network_dim")
    if not dim:
        return Row("network_alpha", alpha, None, "dropped", "means nothing without network_dim")
    rescaled = float(f"{_sdxl_dim(dim) * alpha / dim:.6g}")
    action: Action = "kept" if rescaled == alpha else "rescaled"
    return Row("network_alpha", alpha, rescaled, action, f"alpha/dim stays {alpha / dim:.3g}")


def _encoder_rate(source: _Source) -> Row:
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


def _clip_skip(source: _Source) -> Row:
    reason = "SDXL was trained with fixed layers; clip_skip has no effect there"
    return Row("clip_skip", source.best["clip_skip"], None, "dropped", reason)


Rule = Callable[[_Source], Row]

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


def _seeds(values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The ladder: all the same, but the learning rates (text encoders' too) times each factor."""
    if "learning_rate" not in values:
        return (values,)
    rates = [name for name in ("learning_rate", "text_encoder_lr") if values.get(name)]
    return tuple(
        values | {name: float(f"{values[name] * factor:.6g}") for name in rates}
        for factor in LADDER
    )
