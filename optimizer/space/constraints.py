"""Rules of a search space, such as `learning_rate <= 1.2e-4 or optimizer_type != "AdamW8bit"`."""

from collections.abc import Mapping, Sequence
from typing import Any

from simpleeval import InvalidExpression, SimpleEval

from optimizer.config.space import Constraint
from optimizer.errors import ConfigError

FUNCTIONS = {"abs": abs, "min": min, "max": max}


def holds(rule: str, values: Mapping[str, Any]) -> bool:
    """Whether a rule is true of these hyperparameters.

    Raises:
        ConfigError: the rule cannot be evaluated.
    """
    evaluator = SimpleEval(names=dict(values), functions=FUNCTIONS)
    try:
        return bool(evaluator.eval(rule))
    except (InvalidExpression, SyntaxError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"constraint {rule!r} cannot be evaluated: {error}") from error


def violated(constraints: Sequence[Constraint], values: Mapping[str, Any]) -> list[str]:
    """The reasons of all constraints that these hyperparameters break."""
    return [c.reason for c in constraints if not holds(c.rule, values)]
