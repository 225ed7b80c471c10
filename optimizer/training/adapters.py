"""The trained part: PEFT LoRA layers on the UNet and, when asked, on the text encoders."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError
from optimizer.models.lora import remove_adapters
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapter_config import adapter_config

TRAINED = "default"

_SWITCHES = (
    ("enable_gradient_checkpointing", "disable_gradient_checkpointing"),
    ("activation_checkpointing_enable", "activation_checkpointing_disable"),
    ("gradient_checkpointing_enable", "gradient_checkpointing_disable"),
)
"""diffusers', and transformers' new and old names."""


@dataclass(frozen=True)
class Adapters:
    """The adapters of one trial, by component (`unet`, `text_encoder`, `text_encoder_2`)."""

    modules: dict[str, Any]

    def named_parameters(self, component: str) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Trained parameters of one component, float32."""
        named = self.modules[component].named_parameters()
        return ((name, parameter) for name, parameter in named if parameter.requires_grad)

    def parameters(self) -> list[torch.nn.Parameter]:
        """All trained parameters."""
        return [p for component in self.modules for _, p in self.named_parameters(component)]

    def layers(self, component: str) -> dict[str, Any]:
        """PEFT's layers of one component by their dotted path."""
        named = self.modules[component].named_modules()
        return {path: m for path, m in named if TRAINED in getattr(m, "lora_A", {})}

    def alphas(self, component: str) -> dict[str, float]:
        """What each layer's product is multiplied by, times its rank: by dotted path."""
        layers = self.layers(component)
        return {path: float(layer.lora_alpha[TRAINED]) for path, layer in layers.items()}

    def config(self, component: str) -> dict[str, Any]:
        """PEFT's LoraConfig of one component, as plain data."""
        config: dict[str, Any] = self.modules[component].peft_config[TRAINED].to_dict()
        return config

    def state(self) -> dict[str, dict[str, Tensor]]:
        """PEFT's state dict (`<path>.lora_A.weight`, ...) by component."""
        return {
            name: get_peft_model_state_dict(module, adapter_name=TRAINED)
            for name, module in self.modules.items()
        }

    def load(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over matrices as `state` gave them."""
        for name, module in self.modules.items():
            set_peft_model_state_dict(module, dict(state[name]), adapter_name=TRAINED)

    def checkpoint_gradients(self, wanted: bool) -> None:
        """Keep activations of the forward pass, or compute them again for the backward one."""
        for module in self.modules.values():
            _checkpoint_gradients(module, wanted)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Without dropout inside this block."""
        try:
            for module in self.modules.values():
                module.eval()
            yield
        finally:
            for module in self.modules.values():
                module.train()


@contextmanager
def trained_adapters(model: PipelineModel, settings: Hyperparameters) -> Iterator[Adapters]:
    """Put fresh adapters on the model, and take them off again whatever happens."""
    names = [n for n in ("unet", *model.encoder_names) if settings.learning_rate_of(n) > 0]
    modules = {name: model.modules[name] for name in names}
    try:
        for name, module in modules.items():
            _add(module, name, settings)
        yield Adapters(modules)
    finally:
        for module in modules.values():
            remove_adapters(module)
            module.requires_grad_(False).eval()
            _checkpoint_gradients(module, False)


def _add(module: Any, component: str, settings: Hyperparameters) -> None:
    module.add_adapter(adapter_config(component, settings), adapter_name=TRAINED)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if component == "unet":
        _check_blocks(module, settings)
    module.train()
    _checkpoint_gradients(module, settings.gradient_checkpointing is True)


def _checkpoint_gradients(module: Any, wanted: bool) -> None:
    enable, disable = next(pair for pair in _SWITCHES if hasattr(module, pair[0]))
    getattr(module, enable if wanted else disable)()


def _check_blocks(unet: Any, settings: Hyperparameters) -> None:
    """PEFT says nothing of a rank for layers that are not there."""
    trained = {path for path, m in unet.named_modules() if TRAINED in getattr(m, "lora_A", {})}
    blocks = sorted({".".join(path.split(".")[: 1 if path[0] == "m" else 2]) for path in trained})
    if unknown := [block for block in settings.block_dims if block not in blocks]:
        raise ConfigError(
            f"block_dims: this UNet has no trained layers in {', '.join(unknown)}; "
            f"it has some in {', '.join(blocks)}"
        )
