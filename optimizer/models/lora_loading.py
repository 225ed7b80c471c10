"""A LoRA file's matrices as a PEFT adapter on a model.

Files in PEFT's format go through diffusers. sd-scripts' format does not: diffusers (0.42) drops
the DoRA scales of a file, and where modules have several alphas it takes the commonest for all
attention layers, so that a LoRA would be drawn at another strength than it was trained at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig
from safetensors.torch import load_file
from torch import Tensor, nn

from optimizer.models.kohya import module_name
from optimizer.models.pipeline_model import PipelineModel


@dataclass(frozen=True)
class _Layer:
    """One module of a file, by its dotted path in the model."""

    path: str
    down: Tensor
    up: Tensor
    alpha: float
    magnitude: Tensor | None

    @property
    def rank(self) -> int:
        return len(self.down)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Under PEFT's names."""
        yield f"{self.path}.lora_A.weight", self.down
        yield f"{self.path}.lora_B.weight", self.up
        if self.magnitude is not None:
            # LyCORIS keeps a column per layer; PEFT a vector, or (1, out, 1, 1) for a convolution.
            shape = (-1,) if self.down.dim() == 2 else (1, -1, 1, 1)
            yield f"{self.path}.lora_magnitude_vector.weight", self.magnitude.reshape(shape)


def load_adapter(model: PipelineModel, path: Path, name: str) -> None:
    """Put a file's adapter on a model; modules that the model has not are left out.

    Raises:
        ValueError, RuntimeError, KeyError: it does not fit.
    """
    tensors = load_file(path)
    if not any(key.startswith(("lora_unet_", "lora_te")) for key in tensors):
        model.pipeline.load_lora_weights(str(path), adapter_name=name)
        return
    for component, network in model.modules.items():
        if layers := _layers(model, component, network, tensors):
            state = {key: tensor for layer in layers for key, tensor in layer.tensors()}
            _put_on(network, state, _config(layers), name, is_unet=component == "unet")


def _layers(
    model: PipelineModel, component: str, network: nn.Module, tensors: Mapping[str, Tensor]
) -> list[_Layer]:
    if component == "vae":
        return []
    depth = int(model.pipeline.unet.config.layers_per_block)
    layers = []
    for found, module in network.named_modules():
        # An adapter that is being trained wraps the layer itself.
        path = found.removesuffix(".base_layer")
        if isinstance(module, nn.Linear | nn.Conv2d):
            names = [module_name(model.family, component, path, depth)]
            if component == "unet":
                # Some trainers write SDXL's layers under diffusers' numbers.
                names.append(module_name("sd15", component, path, depth))
            layers += [
                _layer(path, n, tensors) for n in names if f"{n}.lora_down.weight" in tensors
            ]
    return layers


def _layer(path: str, name: str, tensors: Mapping[str, Tensor]) -> _Layer:
    down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
    alpha = tensors.get(f"{name}.alpha")
    return _Layer(
        path,
        down,
        up,
        # sd-scripts: no alpha means the rank.
        float(len(down)) if alpha is None else float(alpha),
        tensors.get(f"{name}.dora_scale"),
    )


def _config(layers: list[_Layer]) -> dict[str, Any]:
    first = layers[0]
    return {
        "r": first.rank,
        "lora_alpha": first.alpha,
        "rank_pattern": {f"^{x.path}": x.rank for x in layers if x.rank != first.rank},
        "alpha_pattern": {f"^{x.path}": x.alpha for x in layers if x.alpha != first.alpha},
        "target_modules": [layer.path for layer in layers],
        "use_dora": first.magnitude is not None,
    }


def _put_on(
    network: Any, state: dict[str, Tensor], config: dict[str, Any], name: str, *, is_unet: bool
) -> None:
    """Without drawing random numbers, which a training that is going on would miss."""
    if is_unet:
        network.load_lora_adapter(
            state, prefix=None, adapter_name=name, metadata=config, low_cpu_mem_usage=True
        )
    else:
        network.load_adapter(
            adapter_name=name,
            adapter_state_dict=state,
            peft_config=LoraConfig(**config),
            low_cpu_mem_usage=True,
        )
