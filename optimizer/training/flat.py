"""Many small matrices as views of few flat tensors: an update is then a few large operations.

An SDXL LoRA has some thousand matrices, and an optimizer that takes them one by one spends more
time on beginning than on computing. Values, gradients and moments are element by element the same.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

ALIGNMENT = 256
"""bitsandbytes quantises moments in blocks of so many elements; none may hold two matrices."""
MIN_8BIT_SIZE = 4096
"""bitsandbytes keeps the moments of smaller matrices in float32."""


class FlatParameter(Parameter):
    """What an optimizer gets to see. small: whether the matrices in it are all below 4096."""

    small: bool


def flattened(parameters: Sequence[Parameter]) -> list[FlatParameter]:
    """Make parameters and their gradients views of one flat tensor, or two where sizes differ.

    From then on gradients are added to in place; `zero_grad` must not take them away.
    """
    kinds = {
        small: [p for p in parameters if (p.numel() < MIN_8BIT_SIZE) is small]
        for small in (True, False)
    }
    return [_flat(group, small) for small, group in kinds.items() if group]


def _flat(parameters: Sequence[Parameter], small: bool) -> FlatParameter:
    sizes = [-(-p.numel() // ALIGNMENT) * ALIGNMENT for p in parameters]
    flat = FlatParameter(torch.zeros(sum(sizes), device=parameters[0].device))
    flat.small, flat.grad = small, torch.zeros_like(flat)
    values, gradients = torch.split(flat.data, sizes), torch.split(flat.grad, sizes)
    for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
        view = _like(value, parameter)
        view.copy_(parameter.data)
        parameter.data, parameter.grad = view, _like(gradient, parameter)
    return flat


def _like(padded: Tensor, parameter: Parameter) -> Tensor:
    return padded[: parameter.numel()].view(parameter.shape)
