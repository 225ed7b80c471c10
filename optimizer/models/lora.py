"""LoRA files: what they are, and how one is put on a base model and taken off again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from optimizer.errors import LoraFileError
from optimizer.models.lora_loading import load_adapter
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.registry import FAMILIES

SCORED = "scored"
"""Name of the adapter that `applied_lora` loads; a training adapter has another."""


@dataclass(frozen=True)
class LoraHeader:
    """What a LoRA file says of itself, read without its tensors."""

    path: Path
    family: str
    modules: int
    metadata: dict[str, str]


def read_header(path: Path) -> LoraHeader:
    """Look at a LoRA file in sd-scripts' or PEFT's format.

    Raises:
        LoraFileError: missing, damaged, or no LoRA for SD1.5 or SDXL.
    """
    if not path.is_file():
        raise LoraFileError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise LoraFileError(f"{path} is not a readable .safetensors file: {error}") from error
    downs = {k: s for k, s in shapes.items() if k.endswith(("lora_down.weight", "lora_A.weight"))}
    if not downs:
        raise LoraFileError(f"{path} is not a LoRA file: it holds no low-rank matrices")
    return LoraHeader(path, _family(path, downs, metadata), len(downs), metadata)


def _family(path: Path, downs: dict[str, list[int]], metadata: dict[str, str]) -> str:
    """By names or widths that only one family has, else by what the file says of itself."""
    if any(k.startswith(("lora_te1_", "lora_te2_", "text_encoder_2.")) for k in downs):
        return "sdxl"
    if any(k.startswith("lora_te_") for k in downs):
        return "sd15"
    if any("_input_blocks_" in k or "_output_blocks_" in k for k in downs):
        return "sdxl"
    widths = {s[1] for k, s in downs.items() if "attn2" in k and "to_k" in k}
    if widths and widths <= {768, 2048}:
        return "sdxl" if 2048 in widths else "sd15"
    version = metadata.get("ss_base_model_version", "")
    for name, family in FAMILIES.items():
        if version == family.base_model_version:
            return name
    if any(k.startswith("lora_unet_down_blocks_") for k in downs):
        return "sd15"
    raise LoraFileError(f"{path}: cannot tell whether this LoRA is for SD1.5 or SDXL")


@contextmanager
def applied_lora(model: PipelineModel, path: Path, strength: float = 1.0) -> Iterator[LoraHeader]:
    """Draw with a LoRA file inside this block; the model is as before afterwards.

    An adapter that is being trained is set aside meanwhile and comes back as it was.

    Raises:
        LoraFileError: the file is none, of the other family, or does not fit this model.
    """
    header = read_header(path)
    if header.family != model.family:
        raise LoraFileError(
            f"{path} is a LoRA for {header.family}, but {model.name} is a {model.family} model; "
            "LoRAs do not carry over between families"
        )
    trainable, before = _trainable(model), _adapters(model)
    try:
        _load(model, header)
        model.pipeline.set_adapters([SCORED], [strength])
        yield header
    finally:
        _remove(model, before)
        for parameter, required in trainable:
            parameter.requires_grad_(required)


def _load(model: PipelineModel, header: LoraHeader) -> None:
    try:
        load_adapter(model, header.path, SCORED)
    except (ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LoraFileError(f"{header.path} does not fit {model.name}: {reason}") from error
    loaded = _scored_layers(model)
    if len(loaded) != header.modules:
        raise LoraFileError(
            f"{header.path} has {header.modules} modules, but only {len(loaded)} of them "
            f"fit {model.name}"
        )
    for layer in loaded:
        _settle(layer)


def _settle(layer: Any) -> None:
    """Bring a loaded layer to its base layer's device and precision.

    Copied in any case: mapped from the file it lies anywhere, and kernels round by where matrices
    lie in memory. An adapter that is being trained stays as it is, in float32.
    """
    base = layer.get_base_layer().weight
    for kind in (layer.lora_A, layer.lora_B, layer.lora_magnitude_vector):
        if SCORED in kind:
            weight = kind[SCORED].weight
            weight.data = weight.data.to(base.device, base.dtype, copy=True)


def _scored_layers(model: PipelineModel) -> list[Any]:
    modules = (m for network in model.modules.values() for m in network.modules())
    return [m for m in modules if SCORED in getattr(m, "lora_A", {})]


def _adapters(model: PipelineModel) -> dict[str, list[str]]:
    """Adapter names by component, components without any left out."""
    held = {name: getattr(m, "peft_config", None) for name, m in model.modules.items()}
    return {name: list(config) for name, config in held.items() if config}


def _remove(model: PipelineModel, before: dict[str, list[str]]) -> None:
    """Delete the scored adapter; where no other was there, unwrap the layers too."""
    from diffusers.utils.peft_utils import delete_adapter_layers

    for name, adapters in _adapters(model).items():
        module = model.modules[name]
        if name not in before:
            remove_adapters(module)
            continue
        if SCORED in adapters:
            delete_adapter_layers(module, SCORED)
            module.peft_config.pop(SCORED, None)  # type: ignore[union-attr, operator]
        module.set_adapter(before[name])  # type: ignore[operator]


def remove_adapters(module: Any) -> None:
    """Give a network back exactly the layers it had before any adapter."""
    from diffusers.utils.peft_utils import recurse_remove_peft_layers

    recurse_remove_peft_layers(module)
    if hasattr(module, "peft_config"):
        del module.peft_config
    module._hf_peft_config_loaded = False


def _trainable(model: PipelineModel) -> list[tuple[Any, bool]]:
    return [(p, p.requires_grad) for m in model.modules.values() for p in m.parameters()]
