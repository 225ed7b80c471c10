"""An adapter as sd-scripts' arguments describe it: network module, dims and network_args."""

import math
from typing import Any

from optimizer.config.study import FamilyName
from optimizer.config.training import Hyperparameters

_BLOCKS = {"sd15": 25, "sdxl": 23}


def network_arguments(family: FamilyName, settings: Hyperparameters) -> dict[str, Any]:
    """Arguments of train_network.py and sdxl_train_network.py, by their names."""
    dim, alpha = settings.network_dim, settings.network_alpha
    arguments: dict[str, Any] = {
        "network_module": "lycoris.kohya" if settings.use_dora else "networks.lora",
        "network_dim": dim,
        # rsLoRA is unknown there; it is the same as another alpha.
        "network_alpha": alpha * math.sqrt(dim) if settings.use_rslora else alpha,
    }
    if settings.network_dropout:
        arguments["network_dropout"] = settings.network_dropout
    args = [*_kind(settings), *_convolutions(settings), *_blocks(family, settings)]
    if settings.loraplus_lr_ratio is not None:
        args.append(f"loraplus_lr_ratio={settings.loraplus_lr_ratio:g}")
    return arguments | ({"network_args": args} if args else {})


def _kind(settings: Hyperparameters) -> list[str]:
    if not settings.use_dora:
        return []
    if settings.conv_dim is not None:
        preset = "full"
    else:
        preset = "attn-only" if settings.targets == "attention" else "attn-mlp"
    return ["algo=lora", "dora_wd=True", f"preset={preset}"]


def _convolutions(settings: Hyperparameters) -> list[str]:
    if settings.conv_dim is None:
        return []
    alpha = settings.conv_alpha
    if alpha is None:
        alpha = settings.network_alpha * settings.conv_dim / settings.network_dim
    if settings.use_rslora:
        alpha *= math.sqrt(settings.conv_dim)
    return [f"conv_dim={settings.conv_dim}", f"conv_alpha={alpha:g}"]


def _blocks(family: FamilyName, settings: Hyperparameters) -> list[str]:
    """One dim per block in sd-scripts' order; alphas it takes from network_alpha."""
    if not settings.block_dims:
        return []
    dims = [settings.network_dim] * _BLOCKS[family]
    for block, dim in settings.block_dims.items():
        for index in block_indexes(family, block):
            dims[index] = dim
    return [f"block_dims={','.join(map(str, dims))}"]


def block_indexes(family: FamilyName, block: str) -> range:
    """Where a block of diffusers' UNet stands in sd-scripts' list of block dims.

    SDXL: 0 are the embeddings, 1 to 9 the input blocks, 10 to 12 the middle, 13 to 21 the output
    blocks, 22 the end. SD1.5: 0 the beginning, 1 to 11 down, 12 the middle, 13 to 24 up. Each of
    diffusers' blocks stands for three, of which SD1.5's last one down has two.
    """
    side, _, number = block.partition(".")
    if side == "mid_block":
        return range(10, 13) if family == "sdxl" else range(12, 13)
    start = 3 * int(number)
    if side == "up_blocks":
        return range(13 + start, 16 + start)
    # SDXL's input block 0 is the first convolution.
    first = (2 if family == "sdxl" else 1) + start
    last = 9 if family == "sdxl" else 11
    return range(first, min(first + 2, last) + 1)
