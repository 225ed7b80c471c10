"""Reading TOML into frozen pydantic models, with every problem said at once."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import core_schema

from optimizer.config.problems import sentences
from optimizer.errors import ConfigError


def _relax_tuples(schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _relax_tuples(part)
    elif isinstance(schema, dict):
        if schema.get("type") == "tuple":
            schema["strict"] = False
        for part in schema.values():
            _relax_tuples(part)


class Frozen(BaseModel):
    """Base of every configuration class: read-only, no unknown keys, no silent conversions.

    Types are strict: a bool is no integer and "3" is no number, but an integer is fine for a
    float. Choices are declared as Literal, paths as ResolvedPath. Validators raise ValueError:
    one of a field says "must be ...", one of a model says a whole sentence.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )

    keys_elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that people will look for here, each with a sentence on where it is found."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let arrays fill tuple fields: TOML has no other sequence. What they hold stays strict."""
        schema = handler(source)
        _relax_tuples(schema)
        return schema


T = TypeVar("T", bound=BaseModel)


def _resolved(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or value == "":
        raise ValueError("must be a path in quotes")
    try:
        path = Path(value).expanduser()
    except RuntimeError:  # ~somebody
        raise ValueError("names a home folder that does not exist") from None
    folder: Path = (info.context or {}).get("folder", Path())
    return Path(os.path.normpath(folder / path))


ResolvedPath = Annotated[Path, BeforeValidator(_resolved)]
"""A path, `~` expanded; a relative one is taken from the folder of the TOML file that holds it."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; raise ConfigError in one sentence if it is unreadable."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        problem = "no such file"
    except IsADirectoryError:
        problem = "is a folder, not a TOML file"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not valid TOML: {error}"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    raise ConfigError(f"{path}: {problem}")


def parse(model: type[T], data: Mapping[str, Any], source: Path) -> T:
    """Return `data` as a `model`; raise one ConfigError that holds every problem.

    `source` is the file the data came from: it is named in the problems, and relative paths
    are resolved against its folder.
    """
    try:
        return model.model_validate(data, context={"folder": source.parent})
    except ValidationError as error:
        problems = sentences(model, data, error)
    raise ConfigError(f"{source}: {problem}" for problem in problems)


def load(model: type[T], path: Path) -> T:
    """Read a TOML file as a `model`; raise ConfigError."""
    return parse(model, read_toml(path), source=path)
