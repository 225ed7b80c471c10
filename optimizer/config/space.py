"""A search space as data: which hyperparameters vary, over what, and which mixtures are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from optimizer.config.base import Frozen, load
from optimizer.config.problems import did_you_mean
from optimizer.config.training import Hyperparameters

Value = bool | int | float | str


class _Parameter(Frozen):
    when: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    """Searched only while the named parameters have one of these values."""


class _Range(_Parameter):
    ratio_of: str | None = None
    """Search `<name>_ratio` and train with that share of the named parameter."""
    log: bool = False

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        low, high = self.low, self.high  # type: ignore[attr-defined]
        if low > high:
            raise ValueError(f"low {low} is above high {high}")
        if self.log and low <= 0:
            raise ValueError(f"a log scale needs low above 0, found {low}")
        if self.log and self.step is not None:  # type: ignore[attr-defined]
            raise ValueError("log and step exclude each other")
        return self


class FloatParameter(_Range):
    """Floats from low to high, both included."""

    type: Literal["float"]
    low: float
    high: float
    step: Annotated[float, Field(gt=0)] | None = None


class IntParameter(_Range):
    """Integers from low to high, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(gt=0)] | None = None


class CategoricalParameter(_Parameter):
    """One of a fixed list; order and members may not change within a study."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=1)]


Parameter = Annotated[
    FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")
]


class Constraint(Frozen):
    """Parameters for which `rule` is false are refused before training, with `reason`."""

    rule: str
    reason: str


class SpaceConfig(Frozen):
    """A search space file."""

    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]
    constraints: tuple[Constraint, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        known = set(Hyperparameters.model_fields)
        for name, parameter in self.parameters.items():
            if name not in known:
                raise ValueError(_unknown(name, known))
            for other in self._mentioned(parameter):
                if other not in known:
                    raise ValueError(f"{name} refers to {other}: {_unknown(other, known)}")
        return self

    @staticmethod
    def _mentioned(parameter: Any) -> list[str]:
        ratio_of = getattr(parameter, "ratio_of", None)
        return [*parameter.when, *([ratio_of] if ratio_of else [])]


def _unknown(name: str, known: set[str]) -> str:
    return f"{name} is not a hyperparameter{did_you_mean(name, known)}"


def load_space(path: Path) -> SpaceConfig:
    """Read and check a search space file; raises ConfigError with all its problems."""
    return load(SpaceConfig, path)
