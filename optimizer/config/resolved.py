"""A study as it was run, written beside its results: paths absolute, files it named included."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from optimizer.config.study import StudyConfig
from optimizer.files import write_bytes

RESOLVED = "study.toml"
SPACE = "space.toml"


def write_resolved(config: StudyConfig) -> None:
    """Write study.toml and space.toml into the study's folder; `load_study` reads them back."""
    study = _plain(config.study) | {"search_space": SPACE}
    tables = {
        "study": study,
        "model": _plain(config.model),
        "scoring": _plain(config.scoring),
        "training": _plain(config.training, exclude=set(config.space.parameters)),
        "dataset": _plain(config.dataset),
    }
    write_bytes(config.folder / RESOLVED, tomli_w.dumps(tables).encode())
    write_bytes(config.folder / SPACE, tomli_w.dumps(_plain(config.space)).encode())


def _plain(model: Any, exclude: set[str] | None = None) -> dict[str, Any]:
    table: dict[str, Any] = _absolute(model.model_dump(exclude_none=True, exclude=exclude))
    return table


def _absolute(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _absolute(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(item) for item in value]
    return str(value.resolve()) if isinstance(value, Path) else value
