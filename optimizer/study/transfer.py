"""Carrying the best settings of one model family over to another, by explicit rules.

Fixing the learning rate at the source's best was the worst plan in every setting tried, and taking
it over unchanged is a guess, so it becomes a ladder of first trials and stays searched.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from optimizer.config.study import FamilyName
from optimizer.config.training import Hyperparameters
from optimizer.errors import TransferError
from optimizer.study.transfer_rules import LADDER, SDXL_DIMS, Plan, Row, Rule, Source, rules_for


@dataclass(frozen=True)
class Transfer:
    """Settings for the target family: the table, and the trials to begin with."""

    source_family: str
    target_family: FamilyName
    rows: tuple[Row, ...]
    seeds: tuple[dict[str, Any], ...]
    provenance: dict[str, Any]
    origins: tuple[str, ...] = ()
    """Where each seed comes from, in words."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for transfer.json."""
        return asdict(self)


def transfer(
    best: Mapping[str, Any],
    target: FamilyName,
    provenance: dict[str, Any] | None = None,
    *,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    plan: Plan = "ladder",
) -> Transfer:
    """Carry flat best parameters over to another family.

    Args:
        best: effective hyperparameters by name; unknown names are dropped and said.
        provenance: where they come from, kept beside the result.
        others: further settings to begin with, by where they come from; they are carried over by
            the same rules and tried after the best ones.
        plan: `ladder` tries the best at three learning rates; `guide` keeps the rate and tries
            SDXL's three dims; `same` takes all as it was.

    Raises:
        TransferError: nothing in `best` can be used.
    """
    provenance = provenance or {}
    source_family = str(provenance.get("family", "sd15"))
    steps = provenance.get("max_train_steps")
    rules = rules_for(source_family, target, plan)
    rows = tuple(_row(name, Source(best, steps), rules) for name in best)
    values = _carried(rows)
    if not values:
        raise TransferError("none of the best parameters can be carried over")
    seeds = _SEEDS[plan](values)
    for origin, other in (others or {}).items():
        seeds[origin] = _carried(_row(name, Source(other, steps), rules) for name in other)
    return Transfer(source_family, target, rows, tuple(seeds.values()), provenance, tuple(seeds))


def _carried(rows: Iterable[Row]) -> dict[str, Any]:
    return {row.name: row.target for row in rows if row.action != "dropped"}


def _row(name: str, source: Source, rules: Mapping[str, Rule]) -> Row:
    value = source.best[name]
    if name not in Hyperparameters.model_fields:
        return Row(name, value, None, "dropped", "not a hyperparameter of this program")
    if name in rules:
        return rules[name](source)
    return Row(name, value, value, "kept", "does not depend on the base model")


def _ladder(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All the same, but the learning rates (text encoders' too) times each factor."""
    if "learning_rate" not in values:
        return {"the best": values}
    rates = [name for name in ("learning_rate", "text_encoder_lr") if values.get(name)]
    return {
        f"the best, learning rate x {factor:.3g}": values
        | {name: float(f"{values[name] * factor:.6g}") for name in rates}
        for factor in LADDER
    }


def _dims(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All the same, but each of SDXL's dims, alpha's share of it kept."""
    dim, alpha = values.get("network_dim"), values.get("network_alpha")
    if not dim:
        return {"the best": values}
    found = {}
    for other in SDXL_DIMS:
        scaled = {"network_alpha": float(f"{other * alpha / dim:.6g}")} if alpha else {}
        found[f"the best, dim {other}"] = values | {"network_dim": other} | scaled
    return found


_SEEDS: dict[Plan, Callable[[dict[str, Any]], dict[str, dict[str, Any]]]] = {
    "ladder": _ladder,
    "guide": _dims,
    "same": lambda values: {"the best": values},
}
