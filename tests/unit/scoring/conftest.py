"""Tiny real models with random weights: two pipelines and two judges."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from optimizer.config.scoring import ScoringConfig
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.sd15 import Sd15Model
from optimizer.models.sdxl import SdxlModel

torch.set_num_threads(1)

LETTERS = string.ascii_lowercase + string.digits + ",.-"
SPECIAL = ["<|startoftext|>", "<|endoftext|>"]
TOKENS = 32
BETAS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
TEXT: dict[str, Any] = {
    "vocab_size": 2 * len(LETTERS) + 2,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": TOKENS,
    "bos_token_id": 2 * len(LETTERS),
    "eos_token_id": 2 * len(LETTERS) + 1,
    "pad_token_id": 2 * len(LETTERS) + 1,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """Letter by letter."""
    folder = tmp_path_factory.mktemp("tokenizer")
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), *SPECIAL]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS)


@pytest.fixture(scope="session")
def clip_folder(tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    torch.manual_seed(0)
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    size = {"shortest_edge": 32}
    CLIPImageProcessorPil(size=size, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def siglip_folder(tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_unet(**more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        **more,
    )


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=32,
    )


def text_config(**more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(**TEXT, **more)


@pytest.fixture
def sd15(tokenizer: CLIPTokenizer) -> Sd15Model:
    """Draws 32 pixels from 16 latents a side."""
    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=tokenizer,
        unet=tiny_unet(cross_attention_dim=16),
        scheduler=DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return Sd15Model(pipeline, "tiny sd15")


@pytest.fixture
def sdxl(tokenizer: CLIPTokenizer) -> SdxlModel:
    """Draws 32 pixels from 16 latents a side."""
    torch.manual_seed(0)
    unet = tiny_unet(
        cross_attention_dim=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=tiny_vae(),
        text_encoder=CLIPTextModel(text_config()),
        text_encoder_2=CLIPTextModelWithProjection(text_config(projection_dim=16)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**BETAS),
        add_watermarker=False,
    )
    return SdxlModel(pipeline, "tiny sdxl")


@pytest.fixture(params=["sd15", "sdxl"])
def model(request: pytest.FixtureRequest) -> PipelineModel:
    """Either family."""
    found: PipelineModel = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def settings(clip_folder: Path) -> Callable[..., ScoringConfig]:
    """A configuration that is quick to draw."""

    def make(**changes: Any) -> ScoringConfig:
        values: dict[str, Any] = {
            "clip_model": str(clip_folder),
            "trigger": "mivo",
            "class_word": "monster",
            "prompts": ("a {trigger} {class} on red", "{trigger} {class}, blue"),
            "num_images_per_prompt": 2,
            "num_inference_steps": 2,
            "guidance_scale": 4.0,
        }
        return ScoringConfig.model_validate(values | changes)

    return make


@pytest.fixture
def paint() -> Callable[..., Image.Image]:
    """A square of another colour on a coloured ground."""

    def painted(color: str, size: tuple[int, int] = (32, 32), place: int = 8) -> Image.Image:
        image = Image.new("RGB", size, color)
        image.paste((255, 255, 0), (place, place, place + 12, place + 12))
        return image

    return painted
