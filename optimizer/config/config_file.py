"""sd-scripts' flat dialect: command line arguments as a TOML file, given to `--config_file`."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from optimizer.config.dataset_options import DatasetOptions, SubsetOptions
from optimizer.errors import ConfigError

_FOLDERS = {"train_data_dir": False, "reg_data_dir": True}
"""Folders of `<repeats>_<name>` folders, and whether they hold regularisation pictures."""

_RENAMED = {
    "train_batch_size": "batch_size",
    "dataset_repeats": "num_repeats",
    "caption_extention": "caption_extension",  # an old misspelling that sd-scripts still takes
}
"""Names of arguments that differ from the dataset's own key."""

_REFUSED = {
    "in_json",
    "conditioning_data_dir",
    "face_crop_aug_range",
    "dataset_class",
    "debug_dataset",
}

DATA_ARGUMENTS = frozenset(
    (DatasetOptions.model_fields.keys() | SubsetOptions.model_fields.keys() | _RENAMED.keys())
    - {"batch_size", "num_repeats", "class_tokens"}
    | _FOLDERS.keys()
    | _REFUSED
    | {"resolution", "alpha_mask", "dataset_config"}
)
"""Arguments that decide about data; all others are about training."""

_REPEATS = re.compile(r"(\d+)_(.*)")

_NEAR = 0.85
"""Likeness from which an unknown argument is a mistyped one."""


def flatten(data: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Return the keys of all sections on one level, as sd-scripts reads them."""
    flat: dict[str, Any] = {}
    twice: list[str] = []
    for name, value in data.items():
        for key, inner in value.items() if isinstance(value, Mapping) else [(name, value)]:
            if key in flat:
                twice.append(f"{source}: {key} is given twice; remove one")
            flat[key] = inner
    if twice:
        raise ConfigError(twice)
    return flat


def picked(flat: Mapping[str, Any], source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part arguments about data, under the dataset's own names, from all others.

    Raises:
        ConfigError: an argument looks like a mistyped one about data, which sd-scripts would
            pass over in silence.
    """
    data = {_RENAMED.get(key, key): value for key, value in flat.items() if key in DATA_ARGUMENTS}
    others = {key: value for key, value in flat.items() if key not in DATA_ARGUMENTS}
    known = DATA_ARGUMENTS | {"datasets"}
    near = [(key, get_close_matches(key, known, 1, _NEAR)) for key in others]
    typos = [f"{source}: {key} is not a known key; did you mean {n[0]}?" for key, n in near if n]
    if typos:
        raise ConfigError(typos)
    return data, others


def subset_tables(arguments: dict[str, Any], source: Path) -> list[dict[str, Any]]:
    """Take the folder arguments out and return a subset table per `<repeats>_<name>` folder.

    Raises:
        ConfigError: no train_data_dir, or a folder without any such folder in it.
    """
    tables: list[dict[str, Any]] = []
    if "train_data_dir" not in arguments:
        raise ConfigError(f"{source}: has neither [[datasets]] nor train_data_dir")
    for argument, is_reg in _FOLDERS.items():
        folder = arguments.pop(argument, None)
        if folder is not None:
            tables += _subsets_of(folder, is_reg, f"{source}: {argument}", source.parent)
    return tables


def _subsets_of(folder: object, is_reg: bool, where: str, home: Path) -> list[dict[str, Any]]:
    if not isinstance(folder, str):
        raise ConfigError(f"{where} must be a folder in quotes, found {folder}")
    path = home / Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(f"{where} {path} is not a folder")
    named = (_REPEATS.fullmatch(inner.name) for inner in sorted(path.iterdir()) if inner.is_dir())
    tables = [
        {
            "image_dir": str(Path(folder) / match[0]),
            "num_repeats": int(match[1]),
            "class_tokens": match[2],
            "is_reg": is_reg,
        }
        for match in named
        if match
    ]
    if not tables:
        raise ConfigError(f"{where} {path} holds no folder named like 10_name (repeats, then name)")
    return tables
