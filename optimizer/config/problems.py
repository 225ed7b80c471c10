"""pydantic's validation errors as sentences: dotted key, what was found, what to do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_WANTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "tuple_type": "an array",
    "list_type": "an array",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "none_required": "left out",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
}
_FEWEST_SHARED = 0.6  # difflib's ratio below which a suggestion would be noise


@dataclass(frozen=True)
class _Problem:
    """One pydantic error, placed in the data.

    key: dotted, without union members. union: (key of the union, member) for every union on
    the way. models: the models that may hold the key.
    """

    key: str
    union: tuple[tuple[str, str], ...]
    models: tuple[type[BaseModel], ...]
    details: ErrorDetails


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean x?" for the nearest known word, or nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=_FEWEST_SHARED)
    return f"; did you mean {near[0]}?" if near else ""


def sentences(model: type[BaseModel], data: Mapping[str, Any], error: ValidationError) -> list[str]:
    """Return one sentence per problem, in the order of the file's model."""
    placed = [_placed(model, data, details) for details in error.errors(include_url=False)]
    by_key: dict[str, list[_Problem]] = {}
    for problem in _likeliest_union_members(placed):
        if not _only_follows(problem, placed):
            by_key.setdefault(problem.key, []).append(problem)
    return [_sentence(key, problems) for key, problems in by_key.items()]


def _placed(model: type[BaseModel], data: Any, details: ErrorDetails) -> _Problem:
    key = ""
    union: list[tuple[str, str]] = []
    models: tuple[type[BaseModel], ...] = (model,)
    missing = details["type"] == "missing"
    for depth, part in enumerate(details["loc"]):
        last = depth == len(details["loc"]) - 1
        if isinstance(part, int) and isinstance(data, list | tuple) and part < len(data):
            key, data = f"{key}[{part}]", data[part]
        elif isinstance(data, Mapping) and (part in data or (missing and last)):
            key, data = f"{key}.{part}" if key else str(part), data.get(part)
            models = models if last else _field_models(models, str(part))
        else:  # the name of a union's member
            union.append((key, str(part)))
            models = tuple(m for m in models if _is_member(m, str(part))) or models
    return _Problem(key, tuple(union), models, details)


def _field_models(models: tuple[type[BaseModel], ...], name: str) -> tuple[type[BaseModel], ...]:
    fields = [m.model_fields[name] for m in models if name in m.model_fields]
    # A table of free keys (dict[str, Model]) is a level of its own: the models stay.
    return tuple(m for f in fields for m in _models_in(f.annotation)) if fields else models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models_in(inner)]


def _is_member(model: type[BaseModel], member: str) -> bool:
    literals = (f.annotation for f in model.model_fields.values())
    tags = (a for t in literals if get_origin(t) is Literal for a in get_args(t))
    return model.__name__ == member or member in tags


def _likeliest_union_members(problems: list[_Problem]) -> list[_Problem]:
    """Of a union of tables keep the problems of the member that fits best.

    A user who mistyped one key of one member should not read the complaints of all members.
    """
    counts: dict[tuple[str, str], int] = {}
    for problem in problems:
        for place in problem.union:
            counts[place] = counts.get(place, 0) + (problem.key != place[0])
    deep = {place: count for place, count in counts.items() if count}
    best = {key: min((p for p in deep if p[0] == key), key=deep.__getitem__) for key, _ in deep}
    return [p for p in problems if all(best.get(place[0], place) == place for place in p.union)]


def _only_follows(problem: _Problem, problems: list[_Problem]) -> bool:
    """Whether an array counts as too short only because its items are wrong."""
    items = f"{problem.key}["
    too_short = problem.details["type"] == "too_short"
    return too_short and any(other.key.startswith(items) for other in problems)


def _sentence(key: str, problems: list[_Problem]) -> str:
    first = problems[0]
    kind = first.details["type"]
    if kind == "extra_forbidden":
        return f"{key} {_unknown(key, first.models)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        return _from_validator(key, first.details)
    if kind == "union_tag_not_found":
        return f"{key}.{_tag_name(first.details)} is missing"
    if kind == "union_tag_invalid":
        return f"{key}.{_tag_name(first.details)} {_wrong_tag(first.details)}"
    return f"{key} {_wrong_value(problems)}"


def _unknown(key: str, models: tuple[type[BaseModel], ...]) -> str:
    name = key.rpartition(".")[2]
    for model in models:
        if sentence := getattr(model, "keys_elsewhere", {}).get(name):
            return f"is not a key here: {sentence}"
    known = sorted({name for model in models for name in model.model_fields})
    hint = did_you_mean(name, known) or f"; known keys are {', '.join(known)}"
    return f"is not a known key{hint}"


def _from_validator(key: str, details: ErrorDetails) -> str:
    """A field's validator says "must be ..."; a model's says a whole sentence."""
    message = details["msg"].removeprefix("Value error, ")
    if isinstance(details["input"], Mapping):
        return f"{key}: {message}" if key else message
    return f"{key} {message}, found {_found(details['input'])}"


def _wrong_value(problems: list[_Problem]) -> str:
    wanted = " or ".join(dict.fromkeys(_wanted(p.details) for p in problems))
    value = problems[0].details["input"]
    choices = [c for p in problems for c in _choices(p.details)]
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"must {wanted.replace(' or be ', ' or ')}, found {_found(value)}{hint}"


def _tag_name(details: ErrorDetails) -> str:
    return str(details["ctx"]["discriminator"]).strip("'")


def _wrong_tag(details: ErrorDetails) -> str:
    expected, found = details["ctx"]["expected_tags"], details["ctx"]["tag"]
    hint = did_you_mean(found, expected.split("'")[1::2])
    return f'must be one of {expected}, found "{found}"{hint}'


def _wanted(details: ErrorDetails) -> str:
    template = _WANTED.get(details["type"])
    if template is None:  # pydantic's own words: "Tuple should have at least 1 item"
        return details["msg"].partition(" should ")[2] or f"be valid: {details['msg']}"
    return "be " + template.format(**details.get("ctx", {}))


def _choices(details: ErrorDetails) -> list[str]:
    expected = str(details.get("ctx", {}).get("expected", ""))
    return expected.split("'")[1::2]


def _found(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "a table"
    return "an array" if isinstance(value, Sequence) else str(value)
