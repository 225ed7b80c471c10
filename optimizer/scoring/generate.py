"""One way of drawing for every trial, evaluation and comparison."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.models.base import PromptEmbeds, Size
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.prompts import PlannedPicture

_NEGATIVE = ("prompt_embeds", "pooled_prompt_embeds")


def draw(
    model: PipelineModel, plan: Sequence[PlannedPicture], config: ScoringConfig
) -> list[Image.Image]:
    """Draw pictures with whatever LoRA is active on the model.

    Each picture has a generator of its own on the CPU: its noise depends neither on its place in
    a batch nor on the device. Prompts are encoded once each.

    Raises:
        ModelError: the resolution does not fit the model's VAE.
    """
    side = config.resolution or model.native_resolution
    images: list[Image.Image] = []
    with _drawing(model), torch.no_grad():
        embeds = _encoded(model, {p.prompt for p in plan} | {config.negative_prompt})
        for start in range(0, len(plan), config.batch_size):
            batch = plan[start : start + config.batch_size]
            arguments = _arguments(model, batch, embeds, config, (side, side))
            images += model.pipeline(**arguments).images
    return images


def _encoded(model: PipelineModel, prompts: set[str]) -> dict[str, PromptEmbeds]:
    return {prompt: model.encode_prompts([prompt]) for prompt in sorted(prompts)}


def _arguments(
    model: PipelineModel,
    batch: Sequence[PlannedPicture],
    embeds: dict[str, PromptEmbeds],
    config: ScoringConfig,
    size: Size,
) -> dict[str, Any]:
    positive = _joined([embeds[p.prompt] for p in batch])
    negative = _joined([embeds[config.negative_prompt]] * len(batch))
    conditions = model.pipeline_conditions(positive, size)
    refused = model.pipeline_conditions(negative, size)
    conditions |= {f"negative_{name}": refused[name] for name in _NEGATIVE if name in refused}
    return conditions | {
        "num_inference_steps": config.num_inference_steps,
        "guidance_scale": config.guidance_scale,
        "generator": [torch.Generator().manual_seed(p.seed) for p in batch],
    }


def _joined(embeds: Sequence[PromptEmbeds]) -> PromptEmbeds:
    pooled = [e.pooled_prompt_embeds for e in embeds if e.pooled_prompt_embeds is not None]
    states = torch.cat([e.prompt_embeds for e in embeds])
    return PromptEmbeds(states, torch.cat(pooled) if pooled else None)


@contextmanager
def _drawing(model: PipelineModel) -> Iterator[None]:
    """Networks in eval mode with a fresh scheduler; as they were afterwards, also in training.

    The random state is kept too: a trial that is scored on the way must train on as if it had
    not been.
    """
    modes = {name: module.training for name, module in model.modules.items()}
    scheduler = model.pipeline.scheduler
    model.pipeline.scheduler = type(scheduler).from_config(scheduler.config)
    for module in model.modules.values():
        module.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        model.pipeline.scheduler = scheduler
        for name, module in model.modules.items():
            module.train(modes[name])
