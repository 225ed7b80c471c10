"""A trained adapter as the file that ComfyUI, A1111, sd-scripts and diffusers load."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.files import write_bytes
from optimizer.models.kohya import encoder_path, module_name
from optimizer.training.adapters import Adapters

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "float": torch.float32}
_KOHYA_SUFFIXES = {
    "lora_A.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora_magnitude_vector": "dora_scale",
}
_PEFT_SUFFIXES = {"lora_magnitude_vector": "lora_magnitude_vector.weight"}


def lora_file(
    family: str, adapters: Adapters, settings: Hyperparameters, layers_per_block: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a LoRA file, and what its format wants in the header.

    Args:
        layers_per_block: of the UNet's config; sd-scripts' names for SDXL need it.
    """
    if settings.save_format == "peft":
        return _sorted(_peft_tensors(adapters, settings)), _peft_header(adapters)
    return _sorted(_kohya_tensors(family, adapters, settings, layers_per_block)), {}


def _kohya_tensors(
    family: str, adapters: Adapters, settings: Hyperparameters, layers_per_block: int
) -> dict[str, Tensor]:
    """Under sd-scripts' names, with the true alpha beside each pair."""
    dtype = PRECISIONS[settings.save_precision]
    tensors: dict[str, Tensor] = {}
    for component, matrices in adapters.state().items():
        for path, alpha in adapters.alphas(component).items():
            name = module_name(family, component, path, layers_per_block)
            # diffusers' own converter writes the rank here, which doubles many LoRAs' strength.
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
            for suffix, theirs in _KOHYA_SUFFIXES.items():
                if (matrix := matrices.get(f"{path}.{suffix}")) is not None:
                    tensors[f"{name}.{theirs}"] = _stored(matrix, dtype)
            if (scale := tensors.get(f"{name}.dora_scale")) is not None:
                # LyCORIS' shape: a column.
                ones = [1] * (matrices[f"{path}.lora_A.weight"].dim() - 1)
                tensors[f"{name}.dora_scale"] = scale.reshape(-1, *ones)
    return tensors


def _peft_tensors(adapters: Adapters, settings: Hyperparameters) -> dict[str, Tensor]:
    """Under diffusers' names; the alphas are in the header."""
    dtype = PRECISIONS[settings.save_precision]
    tensors = {}
    for component, matrices in adapters.state().items():
        for key, matrix in matrices.items():
            path, _, suffix = key.rpartition(".lora_")
            suffix = _PEFT_SUFFIXES.get(f"lora_{suffix}", f"lora_{suffix}")
            path = path if component == "unet" else encoder_path(path)
            tensors[f"{component}.{path}.{suffix}"] = _stored(matrix, dtype)
    return tensors


def _peft_header(adapters: Adapters) -> dict[str, str]:
    from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY

    facts: dict[str, Any] = {}
    for component in adapters.modules:
        for key, value in adapters.config(component).items():
            facts[f"{component}.{key}"] = sorted(value) if isinstance(value, set) else value
    return {LORA_ADAPTER_METADATA_KEY: json.dumps(facts, sort_keys=True)}


def _stored(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    device = matrix.device if matrix.is_meta else "cpu"
    return matrix.detach().to(device, dtype)


def _sorted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.contiguous() for key, tensor in sorted(tensors.items())}


def write_lora(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Write a LoRA file whole or not at all.

    Returns sd-scripts' `sshs_model_hash`: sha256 of what follows the header, so that equal
    training means equal hash.

    Raises:
        OSError: it cannot be written; an earlier file of this name is still whole.
    """
    data = save(tensors)
    digest = hashlib.sha256(memoryview(data)[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    write_bytes(path, save(tensors, metadata | {"sshs_model_hash": digest}))
    return digest
