"""What is wrong with a search space, said before the first trial."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optimizer.config.space import CategoricalParameter
from optimizer.config.study import parse_hyperparameters
from optimizer.errors import ConfigError
from optimizer.space.constraints import violated
from optimizer.space.search_space import Parameter, SearchSpace, in_order


def check_space(space: SearchSpace, source: str) -> None:
    """Try the ends of every range, every choice and every constraint.

    Raises:
        ConfigError: with all values that training would refuse, or else all broken rules.
    """
    problems = list(_unusable_values(space)) or list(_broken_rules(space))
    if problems:
        raise ConfigError(f"{source}: {problem}" for problem in problems)


def _unusable_values(space: SearchSpace) -> Iterator[str]:
    for name, parameter in space.config.parameters.items():
        if ratio_of := getattr(parameter, "ratio_of", None):
            yield from _no_number(name, ratio_of, space)
            continue
        for value in _ends(parameter):
            try:
                parse_hyperparameters({name: value}, Path())
            except ConfigError as error:
                yield from (f"parameters.{p.removeprefix('.: ')}" for p in error.problems)


def _no_number(name: str, ratio_of: str, space: SearchSpace) -> Iterator[str]:
    searched = space.config.parameters.get(ratio_of)
    bases = _ends(searched) if searched is not None else (getattr(space.fixed, ratio_of),)
    if any(isinstance(base, bool) or not isinstance(base, int | float) for base in bases):
        yield f"parameters.{name}.ratio_of must name a number, and {ratio_of} is none here"


def _broken_rules(space: SearchSpace) -> Iterator[str]:
    try:
        in_order(space.config.parameters)
    except ConfigError as error:
        yield from error.problems
        return
    example = space.values(lambda name, parameter: _ends(parameter)[0])
    for constraint in space.config.constraints:
        try:
            violated([constraint], example)
        except ConfigError as error:
            yield from error.problems


def _ends(parameter: Parameter) -> tuple[Any, ...]:
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    return (parameter.low, parameter.high)
