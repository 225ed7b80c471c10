"""Tiny pipelines with random weights, as a diffusers folder and as an original checkpoint.

An original checkpoint is one file with the key names of the training code: CompVis' `ldm` for
SD1.5, Stability's `sgm` for SDXL. The names are written out here as those projects have them, in
the other direction than diffusers reads them, so that the two can be held against each other.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from optimizer.demo import architectures as tiny

State = dict[str, Tensor]

SECOND_WIDTH = 96
"""As in the real SDXL, the second text encoder is wider: diffusers tells them apart by that."""

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
OPEN_CLIP_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def changed(model: Any, **changes: Any) -> Any:
    """A model of the same layout, these options apart."""
    # Among the options that begin with "_" is a list of those to leave at their defaults.
    options = {k: v for k, v in model.config.items() if not k.startswith("_")}
    return type(model).from_config({**options, **changes})


def sd15_pipeline(tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """SD1.5 with random weights; its VAE has attention in the middle, as the real one has."""
    return StableDiffusionPipeline(
        vae=changed(tiny.sd15_vae(), mid_block_add_attention=True),
        text_encoder=_well_spread(tiny.sd15_text_encoder(tokenizer)),
        tokenizer=tokenizer,
        unet=tiny.sd15_unet(),
        scheduler=EulerDiscreteScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl_pipeline(tokenizer: CLIPTokenizer) -> StableDiffusionXLPipeline:
    """SDXL with random weights and a second text encoder wider than the first."""
    first, second = tiny.sdxl_text_encoders(tokenizer)
    width = {"hidden_size": SECOND_WIDTH, "projection_dim": SECOND_WIDTH}
    wide = CLIPTextConfig.from_dict({**second.config.to_dict(), **width})
    unet = tiny.sdxl_unet()
    time_width = 6 * unet.config.addition_time_embed_dim
    return StableDiffusionXLPipeline(
        vae=changed(tiny.sdxl_vae(), mid_block_add_attention=True, scaling_factor=0.13025),
        text_encoder=_well_spread(first),
        text_encoder_2=_well_spread(CLIPTextModelWithProjection(wide)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=changed(
            unet,
            cross_attention_dim=tiny.TEXT_WIDTH + SECOND_WIDTH,
            projection_class_embeddings_input_dim=SECOND_WIDTH + time_width,
        ),
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )


def _well_spread(model: torch.nn.Module) -> torch.nn.Module:
    """Fresh norms and biases are all 1 or 0: with those, mixing two up would change nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def write_folder(pipeline: Any, folder: Path) -> Path:
    """The pipeline as diffusers saves it, all norms and biases random too."""
    for name in ("unet", "vae"):
        _well_spread(getattr(pipeline, name))
    pipeline.save_pretrained(folder)
    return folder


def write_sd15_file(pipeline: StableDiffusionPipeline, path: Path) -> Path:
    """One file as CompVis' training code writes it, with what else real files hold."""
    state = _unet_and_vae(pipeline)
    state |= _clip(pipeline.text_encoder, "cond_stage_model.transformer.text_model.")
    state |= {"alphas_cumprod": torch.ones(1000), "betas": torch.ones(1000)}
    return _write(state, path)


def write_sdxl_file(pipeline: StableDiffusionXLPipeline, path: Path) -> Path:
    """One file as Stability's training code writes it."""
    state = _unet_and_vae(pipeline)
    state |= _clip(pipeline.text_encoder, "conditioner.embedders.0.transformer.text_model.")
    state |= _open_clip(pipeline.text_encoder_2, "conditioner.embedders.1.model.")
    return _write(state, path)


def _unet_and_vae(pipeline: Any) -> State:
    unet, vae = original_unet(pipeline.unet), original_vae(pipeline.vae)
    state = {f"model.diffusion_model.{k}": v for k, v in unet.items()}
    return state | {f"first_stage_model.{k}": v for k, v in vae.items()}


def _write(state: State, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def _renamed(state: State, rename: Callable[[str], str]) -> State:
    renamed = {rename(name): tensor for name, tensor in state.items()}
    assert len(renamed) == len(state), "two weights got one name"
    return renamed


def _replaced(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = re.sub(rf"(^|\.){re.escape(ours)}(?=\.)", rf"\g<1>{theirs}", name)
    return name


def original_unet(unet: Any) -> State:
    """A UNet's weights in numbered blocks, as `ldm` builds them in a row."""
    layers = unet.config.layers_per_block + 1
    state = unet.state_dict()

    def rename(name: str) -> str:
        block = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
        if block is None:
            return _replaced(_replaced(name, UNET_ENDS), RESNET if ".resnets." in name else {})
        side, level, part, place, rest = block.groups()
        first = int(level) * layers + (side == "down")
        where = "input_blocks" if side == "down" else "output_blocks"
        if part == "downsamplers":
            return f"{where}.{first + layers - 1}.0.{rest.replace('conv.', 'op.')}"
        if part == "upsamplers":
            attends = any(k.startswith(f"up_blocks.{level}.attentions.") for k in state)
            return f"{where}.{first + layers - 1}.{1 + attends}.{rest}"
        if part == "resnets":
            return f"{where}.{first + int(place)}.0.{_replaced(rest, RESNET)}"
        return f"{where}.{first + int(place)}.1.{rest}"

    return _renamed(state, rename)


def original_vae(vae: Any) -> State:
    """A VAE's weights: up levels counted from the picture, attention as 1x1 convolutions."""
    last = len(vae.config.block_out_channels) - 1

    def rename(name: str) -> str:
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        if "mid_block.attentions.0" in name:
            name = _replaced(name.replace("mid_block.attentions.0", "mid.attn_1"), VAE_ATTENTION)
        name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
        name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{last - int(m[1])}", name)
        name = name.replace(".resnets.", ".block.")
        return name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")

    state = _renamed(vae.state_dict(), rename)
    as_convolutions = {
        k: v[:, :, None, None] for k, v in state.items() if "attn_1" in k and v.ndim == 2
    }
    return state | as_convolutions


def _text_state(encoder: torch.nn.Module) -> State:
    """Without the `text_model.` that some versions of transformers put before each name."""
    return {k.removeprefix("text_model."): v for k, v in encoder.state_dict().items()}


def _clip(encoder: CLIPTextModel, prefix: str) -> State:
    """Both training codes use transformers' own class here, whose buffer real files hold too."""
    state = {prefix + name: tensor for name, tensor in _text_state(encoder).items()}
    positions = torch.arange(encoder.config.max_position_embeddings)[None]
    return state | {f"{prefix}embeddings.position_ids": positions}


def _open_clip(encoder: CLIPTextModelWithProjection, prefix: str) -> State:
    """OpenCLIP's names: q, k and v in one matrix, the projection the other way round."""
    state = _text_state(encoder)
    original = {"text_projection": state.pop("text_projection.weight").T}
    original |= {"logit_scale": torch.tensor(4.6)}
    original |= {theirs: state.pop(ours) for ours, theirs in OPEN_CLIP_ENDS.items()}
    for layer in range(encoder.config.num_hidden_layers):
        here = f"encoder.layers.{layer}.self_attn."
        for kind in ("weight", "bias"):
            parts = [state.pop(f"{here}{part}_proj.{kind}") for part in "qkv"]
            original[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(parts)
    for name, tensor in state.items():
        named = name.replace("encoder.layers.", "transformer.resblocks.")
        original[_replaced(named, OPEN_CLIP)] = tensor
    return {prefix + name: tensor for name, tensor in original.items()}
