"""A search space in use: suggests from it, reads back from it, fits given values to it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optimizer.config.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    SpaceConfig,
    Value,
)
from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError, InfeasibleError
from optimizer.space.constraints import violated

Parameter = FloatParameter | IntParameter | CategoricalParameter


@dataclass(frozen=True)
class SearchSpace:
    """What varies (`config`) around what is fixed (`fixed`)."""

    config: SpaceConfig
    fixed: Hyperparameters

    def suggest(self, trial: optuna.Trial) -> Hyperparameters:
        """Ask a trial for its hyperparameters.

        Raises:
            InfeasibleError: a constraint forbids them.
        """
        return self._resolve(lambda name, parameter: _suggest(trial, name, parameter))

    def resolve(self, params: Mapping[str, Any]) -> Hyperparameters:
        """The hyperparameters that a finished trial's Optuna params stand for."""
        return self._resolve(lambda name, parameter: params[name])

    def values(self, pick: Callable[[str, Parameter], Any]) -> dict[str, Any]:
        """All hyperparameters, unchecked; `pick` is asked for those that are searched.

        Args:
            pick: called with the name under which Optuna stores a parameter, and the parameter.
        """
        values: dict[str, Any] = self.fixed.model_dump()
        for name, parameter in in_order(self.config.parameters).items():
            if is_active(parameter, values):
                raw = pick(stored_name(name, parameter), parameter)
                values[name] = _from_ratio(raw, parameter, values)
        return values

    def _resolve(self, pick: Callable[[str, Parameter], Any]) -> Hyperparameters:
        values = self.values(pick)
        if reasons := violated(self.config.constraints, values):
            raise InfeasibleError(*reasons)
        try:
            return Hyperparameters.model_validate(values)
        except ValueError as error:
            raise InfeasibleError(_first_reason(error)) from error

    @property
    def is_conditional(self) -> bool:
        """Whether some parameters are searched only beside certain values of others."""
        return any(parameter.when for parameter in self.config.parameters.values())

    def description(self) -> dict[str, Any]:
        """What must not change within a study, as plain data."""
        return {
            "parameters": {
                stored_name(name, parameter): parameter.model_dump(
                    mode="json", exclude_defaults=True
                )
                for name, parameter in self.config.parameters.items()
            },
            "fixed": self.fixed.model_dump(mode="json", exclude=set(self.config.parameters)),
        }

    def digest(self) -> str:
        """sha256 of `description`, the first 16 digits."""
        text = json.dumps(self.description(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def stored_name(name: str, parameter: Parameter) -> str:
    """The name under which Optuna stores a parameter: its own, or `<name>_ratio`."""
    return f"{name}_ratio" if getattr(parameter, "ratio_of", None) else name


def in_order(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Each parameter after those that it refers to, else as in the file.

    Raises:
        ConfigError: parameters refer to each other in a circle.
    """
    ordered: dict[str, Parameter] = {}

    def place(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            raise ConfigError(f"parameters refer to each other: {' -> '.join([*way, name])}")
        if name in parameters and name not in ordered:
            for other in _refers_to(parameters[name]):
                place(other, (*way, name))
            ordered[name] = parameters[name]

    for name in parameters:
        place(name, ())
    return ordered


def _refers_to(parameter: Parameter) -> list[str]:
    ratio_of = getattr(parameter, "ratio_of", None)
    return [*parameter.when, *([ratio_of] if ratio_of else [])]


def is_active(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    """Whether a parameter is searched beside these values of the others."""
    return all(values[other] in allowed for other, allowed in parameter.when.items())


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """The Optuna distribution of a parameter."""
    if isinstance(parameter, CategoricalParameter):
        return CategoricalDistribution(parameter.choices)
    if isinstance(parameter, IntParameter):
        return IntDistribution(parameter.low, parameter.high, parameter.log, parameter.step or 1)
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)


def _suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Value:
    if isinstance(parameter, CategoricalParameter):
        return cast(Value, trial.suggest_categorical(name, parameter.choices))
    if isinstance(parameter, IntParameter):
        return trial.suggest_int(
            name, parameter.low, parameter.high, step=parameter.step or 1, log=parameter.log
        )
    return trial.suggest_float(
        name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
    )


def _from_ratio(raw: Any, parameter: Parameter, values: Mapping[str, Any]) -> Any:
    ratio_of = getattr(parameter, "ratio_of", None)
    if ratio_of is None:
        return raw
    # Six digits: 64 * 0.35 should be trained, stored and shown as 22.4.
    return float(f"{raw * values[ratio_of]:.6g}")


def _first_reason(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    message = errors()[0]["msg"] if errors is not None else str(error)
    return str(message).removeprefix("Value error, ")
