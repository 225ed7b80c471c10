"""best_params.json: written atomically when the best trial changes, read from anywhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer.config.study import FamilyName
from optimizer.config.training import Hyperparameters
from optimizer.errors import TransferError
from optimizer.files import file_digest, write_json
from optimizer.study.results import BestTrial
from optimizer.study.transfer import Transfer, transfer
from optimizer.study.transfer_rules import Row

PROVENANCE = "_study"
_NESTS = ("params", "parameters", "best_params")


def write_best_params(path: Path, best: BestTrial, study: dict[str, Any]) -> None:
    """Flat hyperparameters, with where they come from under `_study`."""
    provenance = study | {
        "trial": best.number,
        "objective": best.value,
        "objective_se": best.standard_error,
        "epoch": best.epoch,
        "checkpoint": str(best.checkpoint),
        "chosen_by": best.chosen_by,
        "why": best.why,
        "finals_agree": best.finals_agree,
    }
    write_json(path, best.params | {PROVENANCE: provenance})


def read_best_params(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hyperparameters and provenance of a best_params.json or params.json.

    Understands flat files and those with the values under `params` or `parameters`. An
    `*_ratio` beside what it is a share of becomes the value itself.

    Raises:
        TransferError: no such file, not JSON, or nothing in it can be used.
    """
    data = _read_object(path)
    provenance = _table(data.pop(PROVENANCE, {}), PROVENANCE, path)
    nested = next((data[key] for key in _NESTS if isinstance(data.get(key), dict)), data)
    return usable_hyperparameters(nested, str(path)), provenance | {"sha256": file_digest(path)}


def usable_hyperparameters(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Given values without tables and lists, each `*_ratio` as the value that it stands for.

    Raises:
        TransferError: none of them is a hyperparameter, or one that is has no usable value.
    """
    values = {key: value for key, value in given.items() if not isinstance(value, dict | list)}
    values = _without_ratios(values)
    usable = {name for name in values if name in Hyperparameters.model_fields}
    if not usable:
        found = ", ".join(sorted(given)) or "nothing"
        raise TransferError(
            f"{source}: none of its keys is a hyperparameter (found: {found}); "
            "expected learning_rate, network_dim and the like"
        )
    problems = [f"{source}: {p}" for p in _wrong_types(values, usable)]
    if problems:
        raise TransferError(problems)
    return values


def read_transfer(path: Path, target: FamilyName) -> Transfer:
    """A transfer.json as it is, or best parameters carried over to `target`.

    Raises:
        TransferError: as `read_best_params`, or made for another family.
    """
    data = _read_object(path)
    if "seeds" not in data:
        values, provenance = read_best_params(path)
        return transfer(values, target, provenance)
    if data.get("target_family") != target:
        raise TransferError(
            f"{path} was made for {data.get('target_family')}, but this study is {target}"
        )
    seeds = data["seeds"]
    if not isinstance(seeds, list) or not all(isinstance(seed, dict) for seed in seeds):
        raise TransferError(f"{path}: seeds must be a list of hyperparameter tables")
    problems = [
        f"{path}: seeds[{index}].{problem}"
        for index, seed in enumerate(seeds)
        for problem in _wrong_types(seed, seed.keys() & Hyperparameters.model_fields.keys())
    ]
    if problems:
        raise TransferError(problems)
    provenance = _table(data.get("provenance", {}), "provenance", path)
    source = str(data.get("source_family"))
    rows, origins = _rows(data.get("rows", []), path), tuple(map(str, data.get("origins", ())))
    return Transfer(source, target, rows, tuple(seeds), provenance, origins)


def _rows(rows: Any, path: Path) -> tuple[Row, ...]:
    try:
        return tuple(Row(**row) for row in rows)
    except TypeError as error:
        keys = ", ".join(Row.__dataclass_fields__)
        raise TransferError(f"{path}: rows must be a list of tables with {keys}") from error


def _table(value: Any, key: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TransferError(f"{path}: {key} must be a table, found {value!r}")
    return value


def _read_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TransferError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TransferError(f"{path} is not valid JSON: {error}") from error
    except OSError as error:
        raise TransferError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(data, dict):
        raise TransferError(f"{path}: expected a JSON object of hyperparameters")
    return data


def _without_ratios(values: Mapping[str, Any]) -> dict[str, Any]:
    bases = {"network_alpha_ratio": "network_dim", "text_encoder_lr_ratio": "learning_rate"}
    result = dict(values)
    for ratio, base in bases.items():
        name = ratio.removesuffix("_ratio")
        share = result.pop(ratio, None)
        if name not in result and _is_number(share) and _is_number(result.get(base)):
            result[name] = float(f"{share * result[base]:.6g}")
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_types(values: Mapping[str, Any], usable: set[str]) -> list[str]:
    """Each value is checked on its own, so that several can be wrong at once."""
    from optimizer.config.study import parse_hyperparameters
    from optimizer.errors import ConfigError

    try:
        known = {name: values[name] for name in sorted(usable)}
        parse_hyperparameters(known, Path())
    except ConfigError as error:
        return [problem.removeprefix(".: ") for problem in error.problems]
    return []
