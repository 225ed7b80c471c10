"""Which LoRAs are meant, and by whose base model, prompts and judge they are looked at."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path

import torch

from optimizer.config.base import parse
from optimizer.config.resolved import RESOLVED
from optimizer.config.study import ModelConfig, StudyConfig, load_study
from optimizer.errors import ConfigError, LoraFileError
from optimizer.models.lora import LoraHeader
from optimizer.scoring.prompts import with_samples

_EPOCH = re.compile(r"-(\d{6})$")


@dataclass(frozen=True)
class Wishes:
    """What a person asks for instead of what the study says; None is the study's own."""

    base_model: str | None = None
    num_samples: int | None = None
    resolution: int | None = None


def study_of(lora: Path, given: Path | None) -> StudyConfig:
    """The study a LoRA is judged by: the one given, else the one whose folder holds it.

    Raises:
        ConfigError: neither is there.
    """
    if given is not None:
        return load_study(given)
    for folder in lora.resolve().parents:
        if (folder / RESOLVED).is_file():
            return load_study(folder / RESOLVED)
    raise ConfigError(
        f"{lora} lies in no study's folder; say with --study whose base model and prompts to use"
    )


def as_wished(config: StudyConfig, header: LoraHeader, wishes: Wishes) -> StudyConfig:
    """The study with another base model, number of pictures or size; raises ConfigError."""
    scoring, model = config.scoring, config.model
    if wishes.base_model is not None:
        named = {"family": header.family, "pretrained_model_name_or_path": wishes.base_model}
        model = parse(ModelConfig, named, Path("--base-model"))
        if model.family != config.model.family:
            scoring = scoring.model_copy(update={"resolution": None, "clip_skip": None})
    if wishes.num_samples is not None:
        scoring = with_samples(scoring, wishes.num_samples, str(config.path))
    if wishes.resolution is not None:
        scoring = scoring.model_copy(update={"resolution": wishes.resolution})
    return config.model_copy(update={"model": model, "scoring": scoring})


def check_family(header: LoraHeader, config: StudyConfig) -> None:
    """Raises LoraFileError when a LoRA is not for this study's base model."""
    if header.family != config.model.family:
        raise LoraFileError(
            f"{header.path} is a LoRA for {header.family}, but {config.path} is a study of "
            f"{config.model.family}"
        )


def lora_files(given: Sequence[Path]) -> list[Path]:
    """Files as they are; of folders, or trials' folders, the LoRA files by epoch.

    Raises:
        LoraFileError: a folder without any.
    """
    return [file for path in given for file in (_in_folder(path) if path.is_dir() else [path])]


def _in_folder(folder: Path) -> list[Path]:
    for place in (folder, folder / "checkpoints"):
        if files := sorted(place.glob("*.safetensors"), key=_epoch):
            return files
    raise LoraFileError(f"{folder}: holds no .safetensors files")


def _epoch(file: Path) -> tuple[str, float]:
    """sd-scripts' naming: the one without a number is the last."""
    found = _EPOCH.search(file.stem)
    return _EPOCH.sub("", file.stem), int(found[1]) if found else float("inf")


def sheet_names(files: Sequence[Path]) -> dict[Path, str]:
    """A name for each file's sheet: its own, or with its folders where two files share one."""
    if len({file.stem for file in files}) == len(files):
        return {file: file.stem for file in files}
    shared = commonpath([file.resolve().parent for file in files])
    inner = {file: file.resolve().relative_to(shared).with_suffix("") for file in files}
    return {file: "_".join(path.parts) for file, path in inner.items()}


def device_named(name: str | None) -> torch.device | None:
    """A device as torch names it; raises ConfigError when this machine has none such."""
    if name is None:
        return None
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"--device {name} cannot be used here; give cpu, cuda, cuda:1 or mps, or nothing for "
            "the best there is"
        ) from error
    return device
