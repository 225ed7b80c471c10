"""Max-norm regularisation of adapters, as sd-scripts' scale_weight_norms does it."""

import torch
from torch import Tensor

from optimizer.training.adapters import TRAINED, Adapters


@torch.no_grad()
def limit_norms(adapters: Adapters, limit: float) -> None:
    """Scale down every layer whose product up @ down * alpha / rank has a norm above `limit`.

    Both matrices take the square root of the factor.
    """
    for component in adapters.modules:
        for layer in adapters.layers(component).values():
            down, up = layer.lora_A[TRAINED].weight, layer.lora_B[TRAINED].weight
            norm = product_norm(down, up) * float(layer.scaling[TRAINED])
            factor = (limit / norm).clamp(max=1).sqrt()
            down.mul_(factor)
            up.mul_(factor)


def product_norm(down: Tensor, up: Tensor) -> Tensor:
    """Frobenius norm of up @ down without making the product.

    ||BA||^2 = sum((B^T B) * (A A^T)), both rank x rank. A convolution's kernel counts as columns.
    """
    down, up = down.flatten(1), up.flatten(1)
    return ((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt()
