"""Given hyperparameters, as parameters that Optuna may enqueue.

Optuna itself drops unknown names, takes numbers outside of the range and fails on unknown choices,
so everything that is enqueued goes through here first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.config.space import CategoricalParameter, IntParameter
from optimizer.space.search_space import (
    Parameter,
    SearchSpace,
    in_order,
    is_active,
    stored_name,
)


@dataclass(frozen=True)
class Fitted:
    """Parameters to enqueue, and a sentence for each value that could not be taken as it was."""

    params: dict[str, Any]
    notes: dict[str, str]


def fit(values: Mapping[str, Any], space: SearchSpace) -> Fitted:
    """Fit hyperparameters to a search space; what they leave out the sampler will choose."""
    params: dict[str, Any] = {}
    notes: dict[str, str] = {}
    effective: dict[str, Any] = space.fixed.model_dump() | dict(values)
    for name, parameter in in_order(space.config.parameters).items():
        if name not in values or not is_active(parameter, effective):
            continue
        if problem := _unplaceable(values[name], parameter, values, space):
            notes[name] = f"{problem}; left to the sampler"
            continue
        wanted = _as_ratio(values[name], parameter, space.fixed.model_dump() | dict(values))
        fitted = _nearest(wanted, parameter)
        params[stored_name(name, parameter)] = fitted
        if not _same(fitted, wanted):
            notes[name] = f"{_short(wanted)} is outside of the space; {_short(fitted)} taken"
            if stored_name(name, parameter) == name:
                effective[name] = fitted
    notes |= _not_searched(values, space)
    return Fitted(params, notes)


def _not_searched(values: Mapping[str, Any], space: SearchSpace) -> dict[str, str]:
    fixed = space.fixed.model_dump()
    return {
        name: f"fixed at {_short(fixed[name])} in this study"
        for name, value in values.items()
        if name not in space.config.parameters and name in fixed and not _same(fixed[name], value)
    }


def _unplaceable(
    value: Any, parameter: Parameter, values: Mapping[str, Any], space: SearchSpace
) -> str | None:
    """Why there is nothing in the parameter's range that is nearest to the value."""
    if isinstance(parameter, CategoricalParameter):
        known = _nearest_choice(value, parameter) is not None
        return None if known else f"{value!r} is not among the choices"
    if not _is_number(value):
        return f"{value!r} is no number"
    ratio_of = parameter.ratio_of
    if ratio_of is None:
        return None
    base = values.get(ratio_of)
    if base is None and ratio_of not in space.config.parameters:
        base = getattr(space.fixed, ratio_of)
    return None if _is_number(base) and base else f"means nothing without {ratio_of}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _as_ratio(value: Any, parameter: Parameter, given: Mapping[str, Any]) -> Any:
    """The share that the given values have, also where their base had to be moved."""
    ratio_of = getattr(parameter, "ratio_of", None)
    return value / given[ratio_of] if ratio_of else value


def _nearest(value: Any, parameter: Parameter) -> Any:
    if isinstance(parameter, CategoricalParameter):
        return _nearest_choice(value, parameter)
    low, high = parameter.low, parameter.high
    inside = min(max(value, low), high)
    if parameter.step:
        inside = low + round((inside - low) / parameter.step) * parameter.step
        inside = min(inside, high)
    return round(inside) if isinstance(parameter, IntParameter) else float(f"{inside:.12g}")


def _nearest_choice(value: Any, parameter: CategoricalParameter) -> Any:
    """The same choice, or the nearest number where all choices are numbers."""
    if value in parameter.choices:
        return parameter.choices[parameter.choices.index(value)]
    numbers = [c for c in parameter.choices if isinstance(c, int | float) and c > 0]
    if len(numbers) < len(parameter.choices) or not _is_number(value) or value <= 0:
        return None
    return min(numbers, key=lambda choice: abs(math.log(choice / value)))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        try:
            return math.isclose(one, other, rel_tol=1e-6)
        except TypeError:
            return False
    return bool(one == other)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
