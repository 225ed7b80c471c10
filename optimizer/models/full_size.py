"""The real Stable Diffusion 1.5 and XL without their weights: shapes on torch's meta device.

Good for counting parameters, bytes and operations of models that are not at hand. The numbers are
those of the public configuration files.
"""

from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.registry import FAMILIES

_UNET: dict[str, dict[str, Any]] = {
    "sd15": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "attention_head_dim": 8,
        "cross_attention_dim": 768,
    },
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
_CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
_CLIP_BIG_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
_SCALING_FACTOR = {"sd15": 0.18215, "sdxl": 0.13025}


def full_size_model(family: str) -> PipelineModel:
    """SD1.5 or SDXL on the meta device; nothing can be computed with it, everything counted."""
    with torch.device("meta"):
        parts: dict[str, Any] = {
            "unet": UNet2DConditionModel(**_UNET[family]),
            "vae": AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                scaling_factor=_SCALING_FACTOR[family],
            ),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**_CLIP_L)),
        }
        if family == "sdxl":
            parts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**_CLIP_BIG_G))
    return pipeline_of(family, parts, f"full-size {family}")


def pipeline_of(family: str, parts: dict[str, Any], name: str) -> PipelineModel:
    """A model of these networks, without tokenizers."""
    empty = {"tokenizer": None, "tokenizer_2": None} if family == "sdxl" else _sd15_without()
    known = FAMILIES[family]
    pipeline = known.pipeline_class()(
        **parts, **empty, scheduler=DDPMScheduler(steps_offset=1, clip_sample=False)
    )
    return known.model(pipeline, name)


def _sd15_without() -> dict[str, Any]:
    none = dict.fromkeys(("tokenizer", "safety_checker", "feature_extractor"))
    return none | {"requires_safety_checker": False}
