"""A base model's networks without their weights, on torch's meta device: for counting."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from optimizer.config.study import ModelConfig
from optimizer.models.full_size import full_size_model, pipeline_of
from optimizer.models.pipeline_model import PipelineModel


def shapes_of(config: ModelConfig) -> PipelineModel:
    """The study's base model as it would lie on a card: VAE in float32, the rest in 16 bits.

    Of a diffusers folder, as its configs say; of anything else, its family's public architecture.
    """
    folder = Path(config.pretrained_model_name_or_path)
    is_known = has_known_shapes(config)
    model = _of_folder(config.family, folder) if is_known else full_size_model(config.family)
    for name, module in model.modules.items():
        # Not diffusers' own `to`: it warns of layers to keep in float32 where there are none.
        torch.nn.Module.to(module, torch.float32 if name == "vae" else torch.bfloat16)
    return model


def has_known_shapes(config: ModelConfig) -> bool:
    """Whether `shapes_of` gives the model's own architecture, not its family's."""
    return (Path(config.pretrained_model_name_or_path) / "model_index.json").is_file()


def _of_folder(family: str, folder: Path) -> PipelineModel:
    def config(part: str) -> Any:
        return json.loads((folder / part / "config.json").read_bytes())

    with torch.device("meta"):
        parts: dict[str, Any] = {
            "unet": UNet2DConditionModel.from_config(config("unet")),
            "vae": AutoencoderKL.from_config(config("vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**config("text_encoder"))),
        }
        if family == "sdxl":
            second = CLIPTextConfig(**config("text_encoder_2"))
            parts["text_encoder_2"] = CLIPTextModelWithProjection(second)
    return pipeline_of(family, parts, folder.name)
