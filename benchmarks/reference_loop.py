"""The comparison: an honest plain training loop, in the manner of the public diffusers examples.

accelerate, PEFT attention adapters, AdamW8bit, gradient checkpointing when asked for; VAE latents
and embeddings are computed once at the start, as those scripts do when told to cache. As a script
it is what a search would start a process for; `prepared` gives its single step to measure.

    python benchmarks/reference_loop.py --model DIR --images DIR --output DIR
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from diffusers.optimization import get_scheduler
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from torch.nn import functional

PARTS = ("loading and encoding", "steps", "saving")
"""Of the script's time, whose seconds it prints at the end as JSON."""
ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
Cached = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Latents, embeddings and, for SDXL, pooled embeddings of all pictures, on the device."""


@dataclass(frozen=True)
class Wanted:
    """What is trained. steps: length of the learning-rate schedule."""

    model: str
    images: Path
    steps: int = 50
    batch_size: int = 4
    resolution: int = 64
    rank: int = 8
    learning_rate: float = 1e-3
    checkpointing: bool = False
    targets: tuple[str, ...] = ATTENTION


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    for name in ("steps", "batch_size", "resolution", "rank"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(Wanted, name))
    parser.add_argument("--learning-rate", type=float, default=Wanted.learning_rate)
    parser.add_argument("--checkpointing", action="store_true")
    chosen = vars(parser.parse_args())
    output = chosen.pop("output")
    torch.set_num_threads(1)
    wanted = Wanted(**chosen)
    times = [time.perf_counter()]
    step, unet = prepared(wanted)
    times.append(time.perf_counter())
    for number in range(wanted.steps):
        step(number)
    times.append(time.perf_counter())
    StableDiffusionXLPipeline.save_lora_weights(
        output, unet_lora_layers=get_peft_model_state_dict(unet)
    )
    times.append(time.perf_counter())
    seconds = [after - before for before, after in itertools.pairwise(times)]
    print(json.dumps(dict(zip(PARTS, seconds, strict=True))))


def prepared(wanted: Wanted) -> tuple[Callable[[int], float], Any]:
    """A training step, which takes its number and returns the loss, and the UNet that it trains."""
    set_seed(42)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    pipeline = StableDiffusionXLPipeline.from_pretrained(wanted.model, dtype=torch.float32)
    pipeline.to(accelerator.device)
    cached = _encoded(pipeline, wanted.images, wanted.resolution)
    return step_of(pipeline, cached, wanted, accelerator)


def step_of(
    pipeline: Any, cached: Cached, wanted: Wanted, accelerator: Accelerator
) -> tuple[Callable[[int], float], Any]:
    """As `prepared`, of a model in memory; with accelerate's autocast where it has one."""
    unet = pipeline.unet
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(r=wanted.rank, lora_alpha=wanted.rank, target_modules=list(wanted.targets))
    )
    cast_training_params(unet)
    if wanted.checkpointing:
        unet.enable_gradient_checkpointing()
    parameters = [p for p in unet.parameters() if p.requires_grad]
    adamw = bitsandbytes.optim.AdamW8bit(parameters, lr=wanted.learning_rate)
    schedule = get_scheduler("cosine", adamw, num_warmup_steps=0, num_training_steps=wanted.steps)
    unet, adamw, schedule = accelerator.prepare(unet, adamw, schedule)
    noise_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    side = wanted.resolution
    time_ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32)
    time_ids = time_ids.repeat(wanted.batch_size, 1).to(accelerator.device)
    latents, embeds, pooled = cached
    unet.train()

    def step(number: int) -> float:
        start = number * wanted.batch_size
        chosen = [i % len(latents) for i in range(start, start + wanted.batch_size)]
        model_input = latents[chosen] * pipeline.vae.config.scaling_factor
        noise = torch.randn_like(model_input)
        timesteps = torch.randint(0, 1000, (len(chosen),), device=model_input.device)
        noisy = noise_scheduler.add_noise(model_input, noise, timesteps)
        added = None
        if pooled is not None:
            added = {"text_embeds": pooled[chosen], "time_ids": time_ids}
        with accelerator.autocast():
            prediction = unet(noisy, timesteps, embeds[chosen], added_cond_kwargs=added).sample
        loss = functional.mse_loss(prediction.float(), noise.float())
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(parameters, 1.0)
        adamw.step()
        schedule.step()
        adamw.zero_grad()
        return float(loss.detach())

    return step, accelerator.unwrap_model(unet)


@torch.no_grad()
def _encoded(pipeline: StableDiffusionXLPipeline, folder: Path, resolution: int) -> Cached:
    latents, embeds, pooled = [], [], []
    for path in sorted(folder.glob("*.png")):
        image = Image.open(path).convert("RGB").resize((resolution, resolution))
        pixels = torch.from_numpy(np.asarray(image, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        latents.append(pipeline.vae.encode(pixels.to(pipeline.device)).latent_dist.sample())
        caption = path.with_suffix(".txt").read_text().strip()
        found = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
        embeds.append(found[0])
        pooled.append(found[2])
    return torch.cat(latents), torch.cat(embeds), torch.cat(pooled)


if __name__ == "__main__":
    main()
