"""The model families, and what is known of each before a model is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.sd15 import Sd15Model
from optimizer.models.sdxl import SdxlModel


@dataclass(frozen=True)
class Family:
    """One model family. The prefixes and names are those of sd-scripts' LoRA files."""

    model: type[PipelineModel]
    pipeline_class: Callable[[], Any]
    options: dict[str, Any]
    """Of the pipeline's `from_pretrained`."""
    base_model_version: str
    architecture: str
    encoder_prefixes: dict[str, str]


def _sd15_pipeline() -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline


def _sdxl_pipeline() -> Any:
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline


FAMILIES: dict[str, Family] = {
    "sd15": Family(
        model=Sd15Model,
        pipeline_class=_sd15_pipeline,
        options={"safety_checker": None, "requires_safety_checker": False},
        base_model_version="sd_v1",
        architecture="stable-diffusion-v1/lora",
        encoder_prefixes={"text_encoder": "lora_te"},
    ),
    "sdxl": Family(
        model=SdxlModel,
        pipeline_class=_sdxl_pipeline,
        options={},
        base_model_version="sdxl_base_v1-0",
        architecture="stable-diffusion-xl-v1-base/lora",
        encoder_prefixes={"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
    ),
}


def family_of_pipeline(class_name: str) -> str | None:
    """The family of a pipeline class as model_index.json names it; others cannot be trained."""
    return {"StableDiffusionPipeline": "sd15", "StableDiffusionXLPipeline": "sdxl"}.get(class_name)
