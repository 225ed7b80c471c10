"""One way of drawing for every trial, evaluation and comparison."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor

from optimizer.config.scoring import ScoringConfig
from optimizer.models.base import DiffusionModel, PromptEmbeds, Size
from optimizer.models.device import free_unused
from optimizer.models.text import count_tokens
from optimizer.scoring.prompts import PlannedPicture
from optimizer.scoring.schedulers import fresh_scheduler
from optimizer.scoring.vae import decode, picture_size

logger = logging.getLogger(__name__)


def draw(
    model: DiffusionModel, plan: Sequence[PlannedPicture], config: ScoringConfig
) -> list[Image.Image]:
    """Draw pictures with whatever LoRA is active on the model.

    Each picture has a generator of its own on the CPU: its noise depends neither on its place in
    a batch nor on the device. Prompts are encoded once each. The model is afterwards as it was,
    also in the middle of training, and so is the global random state. A picture with values that
    are not finite comes out black. Batches that do not fit into memory are halved.

    Raises:
        torch.OutOfMemoryError: not even one picture fits.
        ConfigError: the resolution does not fit the model.
    """
    size = picture_size(model, config.resolution)
    with _drawing(model, config), torch.no_grad():
        embeds = _encoded(model, plan, config)
        return [decode(model, one) for one in _all_latents(model, plan, embeds, config, size)]


def _all_latents(
    model: DiffusionModel,
    plan: Sequence[PlannedPicture],
    embeds: dict[str, PromptEmbeds],
    config: ScoringConfig,
    size: Size,
) -> Iterator[Tensor]:
    """Picture by picture, from batches as large as asked for or as memory allows."""
    done, count = 0, config.batch_size
    while batch := plan[done : done + count]:
        try:
            yield from _latents(model, batch, embeds, config, size)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        else:
            done += len(batch)
            continue
        count = len(batch) // 2
        logger.warning("out of memory: drawing goes on with batches of %d", count)
        free_unused()  # out here the error, which held the failed batch, is gone


def _encoded(
    model: DiffusionModel, plan: Iterable[PlannedPicture], config: ScoringConfig
) -> dict[str, PromptEmbeds]:
    """Embeddings by prompt; one by one, as in a batch the last bits depend on the others."""
    prompts = dict.fromkeys([*(p.prompt for p in plan), config.negative_prompt])
    _warn_of_long(model, prompts)
    return {p: model.encode_prompts([p], clip_skip=config.clip_skip) for p in prompts}


def _warn_of_long(model: DiffusionModel, prompts: Iterable[str]) -> None:
    tokenizer = model.pipeline.tokenizer
    limit = tokenizer.model_max_length - 2
    for prompt in prompts:
        if (tokens := count_tokens(tokenizer, prompt)) > limit:
            logger.warning(
                'the prompt "%s..." has %d tokens, but only the first %d count',
                prompt[:40],
                tokens,
                limit,
            )


def _latents(
    model: DiffusionModel,
    batch: Sequence[PlannedPicture],
    embeds: dict[str, PromptEmbeds],
    config: ScoringConfig,
    size: Size,
) -> Tensor:
    positive = _joined([embeds[p.prompt] for p in batch])
    negative = _joined([_negative(model, embeds, config)] * len(batch))
    generators = [torch.Generator().manual_seed(p.seed) for p in batch]
    conditions = model.pipeline_conditions(positive, size)
    for name, value in model.pipeline_conditions(negative, size).items():
        if name.endswith("prompt_embeds"):
            conditions[f"negative_{name}"] = value
    found: Tensor = model.pipeline(
        **conditions,
        latents=_noise(model, generators, size),
        generator=generators,  # what samplers add on the way is the picture's own, too
        num_inference_steps=config.num_inference_steps,
        guidance_scale=config.guidance_scale,
        output_type="latent",
    ).images
    return found


def _negative(
    model: DiffusionModel, embeds: dict[str, PromptEmbeds], config: ScoringConfig
) -> PromptEmbeds:
    """As diffusers does: no negative prompt is all zeros for a base trained that way (SDXL)."""
    found = embeds[config.negative_prompt]
    if config.negative_prompt or not model.pipeline.config.get("force_zeros_for_empty_prompt"):
        return found
    pooled = found.pooled_prompt_embeds
    return PromptEmbeds(
        torch.zeros_like(found.prompt_embeds), None if pooled is None else torch.zeros_like(pooled)
    )


def _noise(model: DiffusionModel, generators: Sequence[torch.Generator], size: Size) -> Tensor:
    """Drawn in float32: in half precision other numbers would come out of the same seed."""
    unet, factor = model.pipeline.unet, model.pipeline.vae_scale_factor
    shape = (int(unet.config.in_channels), size[0] // factor, size[1] // factor)
    noise = torch.stack([torch.randn(shape, generator=g) for g in generators])
    return noise.to(model.device, unet.dtype)


def _joined(embeds: Sequence[PromptEmbeds]) -> PromptEmbeds:
    pooled = [e.pooled_prompt_embeds for e in embeds if e.pooled_prompt_embeds is not None]
    states = torch.cat([e.prompt_embeds for e in embeds])
    return PromptEmbeds(states, torch.cat(pooled) if pooled else None)


@contextmanager
def _drawing(model: DiffusionModel, config: ScoringConfig) -> Iterator[None]:
    """Networks in eval mode and a fresh scheduler; afterwards exactly what was there before."""
    pipeline = model.pipeline
    networks = [pipeline.unet, pipeline.vae, *model.text_encoders.values()]
    modes = [(part, part.training) for network in networks for part in network.modules()]
    scheduler = pipeline.scheduler
    pipeline.scheduler = fresh_scheduler(scheduler, config.sampler)
    pipeline.set_progress_bar_config(disable=True)
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        pipeline.scheduler = scheduler
        for part, mode in modes:
            part.training = mode
