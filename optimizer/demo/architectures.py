"""The tiny models: the real classes at a size that a CPU trains in minutes."""

from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

TEXT_WIDTH = 64
SD15_SIZE = 32
SDXL_SIZE = 64
JUDGE_SIZE = 64


def text_config(tokenizer: CLIPTokenizer, *, act: str = "quick_gelu") -> CLIPTextConfig:
    """A text encoder 64 wide."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=TEXT_WIDTH,
        hidden_act=act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def vae(size: int, channels: tuple[int, ...]) -> AutoencoderKL:
    """An autoencoder with 4 latent channels; each level after the first halves the picture."""
    levels = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=size,
        mid_block_add_attention=False,
    )


def sd15_vae() -> AutoencoderKL:
    """Factor 4: 32 px to 8 latents."""
    return vae(SD15_SIZE, (32, 48, 64))


def sdxl_vae() -> AutoencoderKL:
    """Factor 8: 64 px to 8 latents."""
    return vae(SDXL_SIZE, (16, 32, 64, 96))


def sd15_unet() -> UNet2DConditionModel:
    """SD1.5's layout: cross-attention at every level, 1x1 convolutions as projections."""
    return UNet2DConditionModel(
        **_unet_options((48, 96), TEXT_WIDTH),
        use_linear_projection=False,
        attention_head_dim=4,
    )


def sdxl_unet() -> UNet2DConditionModel:
    """SDXL's: linear projections, pooled text and six time ids beside the captions."""
    time_width = 8
    return UNet2DConditionModel(
        **_unet_options((64, 128), 2 * TEXT_WIDTH),
        use_linear_projection=True,
        attention_head_dim=(2, 4),
        addition_embed_type="text_time",
        addition_time_embed_dim=time_width,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * time_width,
    )


def _unet_options(channels: tuple[int, int], text_width: int) -> dict[str, Any]:
    return {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": channels,
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": text_width,
        "norm_num_groups": 16,
    }


def sd15_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """SD1.5's only one."""
    return CLIPTextModel(text_config(tokenizer))


def sdxl_text_encoders(
    tokenizer: CLIPTokenizer,
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """SDXL's two; the second has another activation, as the real one has."""
    first = CLIPTextModel(text_config(tokenizer))
    return first, CLIPTextModelWithProjection(text_config(tokenizer, act="gelu"))


def judge(tokenizer: CLIPTokenizer) -> CLIPModel:
    """The CLIP that scores pictures."""
    vision = {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": JUDGE_SIZE,
        "patch_size": 8,
        "projection_dim": TEXT_WIDTH,
    }
    text = text_config(tokenizer).to_dict()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=TEXT_WIDTH))
