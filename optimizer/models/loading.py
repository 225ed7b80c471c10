"""Base models from a diffusers folder, a single .safetensors file or the hub."""

import json
import logging
from pathlib import Path
from typing import Any

import torch

from optimizer.config.study import ModelConfig
from optimizer.errors import ModelError
from optimizer.logs import hide_loading_bars
from optimizer.models.attention import apply_attention, choose_attention
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.registry import FAMILIES, family_of_pipeline

logger = logging.getLogger(__name__)

SINGLE_FILE_SUFFIXES = {".safetensors", ".ckpt"}


def load_model(config: ModelConfig, device: torch.device) -> PipelineModel:
    """Load a base model for training and drawing.

    The UNet and text encoders are held in the device's half precision on CUDA (they are frozen:
    only the adapters train, in float32), the VAE in float32, which SDXL's needs to stay finite.

    Raises:
        ModelError: nothing usable lies there, or it is a model of the other family.
    """
    check_reference(config)
    reference = config.pretrained_model_name_or_path
    dtype = frozen_dtype(device)
    try:
        pipeline = _load_pipeline(config, dtype)
        if config.vae is not None:
            pipeline.vae = _load_vae(config.vae)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{reference} cannot be loaded as a {config.family} base model: {_first_line(error)}"
        ) from error
    pipeline.vae.to(torch.float32)
    pipeline.to(device)
    apply_attention(pipeline, choose_attention(config.attention, device))
    logger.info("loaded %s model %s on %s as %s", config.family, reference, device, dtype)
    return FAMILIES[config.family].model(pipeline, reference)


def check_reference(config: ModelConfig) -> None:
    """Say a wrong file or folder before anything is loaded; of the hub nothing is known yet.

    Raises:
        ModelError: it is missing, no model, or a model of the other family.
    """
    path = Path(config.pretrained_model_name_or_path)
    if path.suffix in SINGLE_FILE_SUFFIXES:
        _existing_file(path)
    elif path.is_absolute():
        _check_folder(path, config.family)


def frozen_dtype(device: torch.device) -> torch.dtype:
    """Precision of frozen weights: bf16 or fp16 on CUDA, float32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def best_device() -> torch.device:
    """The first CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load_pipeline(config: ModelConfig, dtype: torch.dtype) -> Any:
    reference = config.pretrained_model_name_or_path
    pipeline_class = FAMILIES[config.family].pipeline_class()
    if Path(reference).is_absolute():
        hide_loading_bars()
    if Path(reference).suffix in SINGLE_FILE_SUFFIXES:
        return pipeline_class.from_single_file(reference, dtype=dtype, config=config.config)
    return pipeline_class.from_pretrained(reference, dtype=dtype, **FAMILIES[config.family].options)


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .safetensors file, a folder or a hub id")
    return path


def _check_folder(path: Path, family: str) -> None:
    if not path.is_dir():
        raise ModelError(
            f"{path}: no such folder; give a diffusers folder, a .safetensors file or a hub id"
        )
    index = path / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{path} is not a diffusers model folder: it has no model_index.json")
    found = family_of_pipeline(json.loads(index.read_text()).get("_class_name", ""))
    if found != family:
        raise ModelError(
            f"{path} holds a model of family {found or 'unknown'}, "
            f'but the study says family = "{family}"'
        )


def _load_vae(reference: str) -> Any:
    from diffusers import AutoencoderKL

    if Path(reference).suffix in SINGLE_FILE_SUFFIXES:
        return AutoencoderKL.from_single_file(str(_existing_file(Path(reference))))
    return AutoencoderKL.from_pretrained(reference)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
