"""A trained adapter as the file that ComfyUI, A1111, sd-scripts and diffusers load."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.files import write_bytes
from optimizer.models.kohya import module_name
from optimizer.models.registry import FAMILIES

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "float": torch.float32}
_SUFFIXES = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}


def lora_tensors(
    family: str,
    state: Mapping[str, Mapping[str, Tensor]],
    settings: Hyperparameters,
    layers_per_block: int,
) -> dict[str, Tensor]:
    """PEFT's tensors under sd-scripts' names, with the true alpha beside each pair.

    Args:
        state: PEFT state dict by component.
        layers_per_block: of the UNet's config.
    """
    dtype = PRECISIONS[settings.save_precision]
    tensors: dict[str, Tensor] = {}
    for component, matrices in state.items():
        for key, matrix in matrices.items():
            path, _, suffix = key.rpartition(".lora_")
            name = module_name(family, component, path, layers_per_block)
            # diffusers' own converter writes the rank here, which doubles many LoRAs' strength.
            tensors[f"{name}.alpha"] = torch.tensor(settings.network_alpha)
            tensors[f"{name}.{_SUFFIXES[f'lora_{suffix}']}"] = matrix.detach().to("cpu", dtype)
    return {key: tensor.contiguous() for key, tensor in sorted(tensors.items())}


def lora_metadata(family: str, name: str, settings: Hyperparameters) -> dict[str, str]:
    """The header that other programs read; it names no folder of the user's."""
    known = FAMILIES[family]
    facts = {
        "ss_output_name": name,
        "ss_base_model_version": known.base_model_version,
        "ss_v2": False,
        "ss_network_module": "networks.lora",
        "ss_network_dim": settings.network_dim,
        "ss_network_alpha": settings.network_alpha,
        "ss_network_args": None,
        "ss_learning_rate": settings.learning_rate,
        "ss_unet_lr": settings.effective_unet_lr,
        "ss_text_encoder_lr": settings.text_encoder_lr,
        "ss_optimizer": settings.optimizer_type,
        "ss_lr_scheduler": settings.lr_scheduler,
        "ss_lr_warmup_steps": settings.lr_warmup_steps,
        "ss_gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "ss_min_snr_gamma": settings.min_snr_gamma,
        "ss_noise_offset": settings.noise_offset,
        "ss_max_grad_norm": settings.max_grad_norm,
        "ss_clip_skip": settings.clip_skip,
        "ss_max_token_length": settings.max_token_length,
        "ss_seed": settings.seed,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": known.architecture,
        "modelspec.title": name,
    }
    return {key: str(value) for key, value in facts.items()}


def write_lora(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Write a LoRA file whole or not at all; returns the sha256 of its tensors."""
    digest = _tensors_digest(tensors)
    write_bytes(path, save(tensors, metadata | {"sshs_model_hash": digest}))
    return digest


def _tensors_digest(tensors: dict[str, Tensor]) -> str:
    """sha256 over names and bytes, the header left out, so that equal training means equal hash."""
    digest = hashlib.sha256()
    for key, tensor in tensors.items():
        digest.update(key.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
