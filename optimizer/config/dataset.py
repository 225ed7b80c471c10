"""sd-scripts' dataset settings: folders, captions and buckets, in either of its TOML dialects."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from optimizer.config.base import Frozen, ResolvedPath, parse, read_toml
from optimizer.config.config_file import DATA_ARGUMENTS, flatten, picked, subset_tables
from optimizer.config.dataset_checks import contradictions
from optimizer.config.dataset_keys import RefusedKeys
from optimizer.config.dataset_options import DatasetOptions, Resolution, SubsetOptions
from optimizer.config.problems import did_you_mean
from optimizer.errors import ConfigError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Subset(SubsetOptions):
    """One folder of pictures."""

    image_dir: ResolvedPath
    is_reg: bool = False
    """Regularisation pictures: as many as training pictures, weighed by `prior_loss_weight`."""
    alpha_mask: bool = False
    """The alpha channel weighs the loss."""


class Dataset(DatasetOptions):
    """Folders of pictures that share buckets and batches."""

    resolution: Resolution
    subsets: tuple[Subset, ...]


class DatasetConfig(Frozen):
    """All that is trained on, every value resolved."""

    datasets: tuple[Dataset, ...]


class _General(DatasetOptions, SubsetOptions):
    resolution: Resolution | None = None


class _DatasetTable(_General):
    subsets: Annotated[tuple[Subset, ...], Field(min_length=1)]


class _Tables(Frozen):
    general: _General = _General()
    datasets: Annotated[tuple[_DatasetTable, ...], Field(min_length=1)]


class _Arguments(_General):
    """Data arguments of the flat dialect; the last to be asked for a value."""

    alpha_mask: bool = False


def load_dataset_config(path: Path) -> DatasetConfig:
    """Read a TOML or JSON file of either dialect; raise ConfigError with all its problems.

    Training keys of the `--config_file` dialect are not taken, which is said in a warning.
    """
    config, others = load_config_file(path)
    if others:
        keys = ", ".join(sorted(others))
        logger.warning(
            "%s: not taken from here but from the study's [training] and [model]: %s", path, keys
        )
    return config


def load_config_file(path: Path) -> tuple[DatasetConfig, dict[str, Any]]:
    """Read a file of either dialect; return its dataset and the keys that are not about data."""
    return _read(_read_table(path), path)


def dataset_config_from(data: Mapping[str, Any], source: Path) -> DatasetConfig:
    """Return the dataset of a table in either dialect; keys that are not about data are errors.

    `source` is the file that holds the table: named in problems, home of its relative paths.
    """
    config, others = _read(data, source)
    if others:
        raise ConfigError(
            f"{source}: {key} is not a key of a dataset{did_you_mean(key, DATA_ARGUMENTS)}"
            for key in others
        )
    return config


def _read_table(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".json":
        return read_toml(path)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: must be a table, not {type(table).__name__}")
    return table


def _read(data: Mapping[str, Any], source: Path) -> tuple[DatasetConfig, dict[str, Any]]:
    if "datasets" in data:
        return _from_tables(data, source, _Arguments()), {}
    given, others = picked(flatten(data, source), source)
    named = given.pop("dataset_config", None)
    problems: list[str] = []
    subsets = [] if named else _collected(problems, subset_tables, given, source) or []
    refused = RefusedKeys(source)
    arguments = _collected(problems, parse, _Arguments, refused.arguments(given), source)
    if problems or refused.problems or arguments is None:
        raise ConfigError([*refused.problems, *problems])
    if named:
        path = source.parent / Path(named).expanduser()
        table = _read_table(path)
        if "datasets" in table:
            return _from_tables(table, path, arguments), others
        return load_dataset_config(path), others
    folders = tuple(parse(Subset, subset, source) for subset in subsets)
    tables = _Tables(datasets=(_DatasetTable(subsets=folders),))
    return _resolved(tables, arguments, source, lambda index: ""), others


def _from_tables(data: Mapping[str, Any], source: Path, last: _Arguments) -> DatasetConfig:
    refused = RefusedKeys(source)
    problems: list[str] = []
    tables = _collected(problems, parse, _Tables, refused.tables(data), source)
    if refused.problems or tables is None:
        raise ConfigError([*refused.problems, *problems])
    return _resolved(tables, last, source, lambda index: f"datasets[{index}].")


def _collected(problems: list[str], read: Callable[..., T], *arguments: Any) -> T | None:
    """Call `read`; on ConfigError add to the problems and return None."""
    try:
        return read(*arguments)
    except ConfigError as error:
        problems += error.problems
        return None


def _resolved(
    tables: _Tables, last: _Arguments, source: Path, where: Callable[[int], str]
) -> DatasetConfig:
    """Give every key its value: subset, dataset, general, arguments, default."""
    outer = _given(last) | _given(tables.general)
    values = [outer | _given(table) for table in tables.datasets]
    places = [f"{source}: {where(index)}" for index in range(len(values))]
    problems = [
        p for v, place in zip(values, places, strict=True) for p in contradictions(v, place)
    ]
    if problems:
        raise ConfigError(problems)
    return DatasetConfig(datasets=tuple(_dataset(v) for v in values))


def _dataset(values: dict[str, Any]) -> Dataset:
    inherited = {key: value for key, value in values.items() if key in Subset.model_fields}
    subsets = (Subset(**(inherited | _given(subset))) for subset in values["subsets"])
    own = {key: value for key, value in values.items() if key in Dataset.model_fields}
    return Dataset(**(own | {"subsets": tuple(s for s in subsets if s.num_repeats)}))


def _given(options: BaseModel) -> dict[str, Any]:
    """The keys that the file itself holds."""
    return {key: getattr(options, key) for key in options.model_fields_set}
