"""PEFT's plain linear LoRA layers with a shorter forward pass; the numbers are the same.

PEFT casts the input to the matrices' float32 and back, and adds the product in two passes over the
output. Here the matrices are cast to the input's type, a hundredth of the size, and the scaled
product is added by the matrix multiplication itself.
"""

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor
from torch.nn import functional

from optimizer.training.adapters import TRAINED, Adapters


def make_lean(adapters: Adapters) -> None:
    """Shorten the layers of which that is known to change nothing; others stay PEFT's."""
    for component in adapters.modules:
        for layer in _plain(adapters, component):
            layer.forward = MethodType(_forward, layer)


def _plain(adapters: Adapters, component: str) -> Iterator[Any]:
    """Linear ones without dropout, bias or a variant such as DoRA."""
    for layer in adapters.layers(component).values():
        no_dropout = isinstance(layer.lora_dropout[TRAINED], torch.nn.Identity)
        if type(layer) is Linear and no_dropout and TRAINED not in layer.lora_variant:
            yield layer


def _forward(layer: Any, x: Tensor) -> Tensor:
    result: Tensor = layer.base_layer(x)
    down, up = layer.lora_A[TRAINED].weight, layer.lora_B[TRAINED].weight
    inner = functional.linear(x, down.to(x.dtype))
    added = torch.addmm(
        result.flatten(0, -2),
        inner.flatten(0, -2),
        up.to(x.dtype).T,
        alpha=float(layer.scaling[TRAINED]),
    )
    return added.view(result.shape)
