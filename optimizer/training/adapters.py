"""The trained part: PEFT LoRA layers on the UNet and, when asked, on the text encoders."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor

from optimizer.config.training import Hyperparameters, Targets
from optimizer.models.lora import remove_adapters
from optimizer.models.pipeline_model import PipelineModel

TRAINED = "default"

UNET_TARGETS: dict[Targets, list[str]] = {
    "attention": ["to_q", "to_k", "to_v", "to_out.0"],
    "transformer": [
        *("to_q", "to_k", "to_v", "to_out.0"),
        *("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    ],
}
ENCODER_TARGETS: dict[Targets, list[str]] = {
    "attention": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "transformer": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


@dataclass(frozen=True)
class Adapters:
    """The adapters of one trial, by component (`unet`, `text_encoder`, `text_encoder_2`)."""

    modules: dict[str, Any]

    def parameters(self, component: str) -> list[torch.nn.Parameter]:
        """Trained parameters of one component, float32."""
        return [p for p in self.modules[component].parameters() if p.requires_grad]

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


@contextmanager
def trained_adapters(model: PipelineModel, settings: Hyperparameters) -> Iterator[Adapters]:
    """Put fresh adapters on the model, and take them off again whatever happens."""
    names = ["unet", *(model.encoder_names if settings.trains_text_encoders else ())]
    modules = {name: model.modules[name] for name in names}
    try:
        for name, module in modules.items():
            _add(module, name, settings)
        yield Adapters(modules)
    finally:
        for module in modules.values():
            remove_adapters(module)
            module.requires_grad_(False).eval()
            _checkpointing(module, False)


def _add(module: Any, name: str, settings: Hyperparameters) -> None:
    targets = UNET_TARGETS if name == "unet" else ENCODER_TARGETS
    config = LoraConfig(
        r=settings.network_dim,
        lora_alpha=settings.network_alpha,  # PEFT only divides by it
        lora_dropout=settings.network_dropout,
        target_modules=targets[settings.targets],
    )
    module.add_adapter(config, adapter_name=TRAINED)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    module.train()
    _checkpointing(module, settings.gradient_checkpointing)


def _checkpointing(module: Any, wanted: bool) -> None:
    enable, disable = (
        ("enable_gradient_checkpointing", "disable_gradient_checkpointing")
        if hasattr(module, "enable_gradient_checkpointing")
        else ("gradient_checkpointing_enable", "gradient_checkpointing_disable")
    )
    getattr(module, enable if wanted else disable)()
