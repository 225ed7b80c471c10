"""sd-scripts' names for LoRA modules, which ComfyUI, A1111 and diffusers all read."""

import re

from optimizer.models.registry import FAMILIES

_BLOCK = re.compile(
    r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)"
)
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)")
_ORIGINAL_LAYERS = {
    "resnets": {
        "conv1": "in_layers.2",
        "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1",
        "conv_shortcut": "skip_connection",
    },
    "downsamplers": {"conv": "op"},
}
"""What the original code calls the layers inside a block; other names are the same."""


def module_name(family: str, component: str, path: str, layers_per_block: int) -> str:
    """sd-scripts' name of a module.

    Args:
        family: `sd15` or `sdxl`.
        component: pipeline attribute, `unet`, `text_encoder` or `text_encoder_2`.
        path: dotted path of the module inside that component.
        layers_per_block: of the UNet's config; SDXL's names count blocks as the original code did.
    """
    if component != "unet":
        prefix = FAMILIES[family].encoder_prefixes[component]
        return f"{prefix}_{encoder_path(path).replace('.', '_')}"
    if family == "sdxl":
        path = original_unet_path(path, layers_per_block)
    return f"lora_unet_{path.replace('.', '_')}"


def encoder_path(path: str) -> str:
    """A text encoder's path as files have it: transformers 5 dropped `text_model`, they keep it."""
    return path if path.startswith("text_model.") else f"text_model.{path}"


def original_unet_path(path: str, layers_per_block: int) -> str:
    """diffusers' UNet path as the original SDXL code numbers its blocks.

    `down_blocks.1.attentions.0` is `input_blocks.4.1`: one block per layer, plus one for each
    down- or up-sampling, attention being the second part of a block.
    """
    if middle := _MIDDLE.match(path):
        kind, index = middle.groups()
        number = 1 if kind == "attentions" else 2 * int(index)
        return f"middle_block.{number}.{_original_layer(kind, path[middle.end() + 1 :])}"
    found = _BLOCK.match(path)
    if found is None:
        return path
    side, block, kind, layer = found.groups()
    numbered = _numbered(side, int(block), kind, int(layer), layers_per_block)
    return f"{numbered}.{_original_layer(kind, path[found.end() + 1 :])}"


def _original_layer(kind: str, layer: str) -> str:
    return _ORIGINAL_LAYERS.get(kind, {}).get(layer, layer)


def _numbered(side: str, block: int, kind: str, layer: int, layers_per_block: int) -> str:
    part = 1 if kind == "attentions" else 0
    if side == "down_blocks":
        index = layers_per_block if kind == "downsamplers" else layer
        return f"input_blocks.{1 + block * (layers_per_block + 1) + index}.{part}"
    if kind == "upsamplers":
        layer, part = layers_per_block, 2
    return f"output_blocks.{block * (layers_per_block + 1) + layer}.{part}"
