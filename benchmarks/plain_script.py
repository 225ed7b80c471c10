"""The comparison: one LoRA training as a script of its own, the way a search would start a process.

Written in the manner of the public diffusers SDXL LoRA examples: accelerate, PEFT attention
adapters, AdamW8bit; VAE latents and embeddings are computed once at the start, as those scripts do
when told to cache.
"""

import argparse
from pathlib import Path

import bitsandbytes
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from diffusers.optimization import get_scheduler
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from torch.nn import functional


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    set_seed(42)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    pipeline = StableDiffusionXLPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    pipeline.to(accelerator.device)
    latents, embeds, pooled = _encoded(pipeline, arguments.images, arguments.resolution)

    unet = pipeline.unet
    unet.requires_grad_(False)
    targets = ["to_k", "to_q", "to_v", "to_out.0"]
    unet.add_adapter(
        LoraConfig(r=arguments.rank, lora_alpha=arguments.rank, target_modules=targets)
    )
    parameters = [p for p in unet.parameters() if p.requires_grad]
    adamw = bitsandbytes.optim.AdamW8bit(parameters, lr=arguments.learning_rate)
    schedule = get_scheduler(
        "cosine", adamw, num_warmup_steps=0, num_training_steps=arguments.steps
    )
    unet, adamw, schedule = accelerator.prepare(unet, adamw, schedule)
    noise_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    side = arguments.resolution
    time_ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32)
    unet.train()
    for step in range(arguments.steps):
        start = step * arguments.batch_size
        chosen = [i % len(latents) for i in range(start, start + arguments.batch_size)]
        model_input = latents[chosen] * pipeline.vae.config.scaling_factor
        noise = torch.randn_like(model_input)
        timesteps = torch.randint(0, 1000, (len(chosen),), device=model_input.device)
        noisy = noise_scheduler.add_noise(model_input, noise, timesteps)
        added = {
            "text_embeds": pooled[chosen],
            "time_ids": time_ids.repeat(len(chosen), 1).to(model_input.device),
        }
        prediction = unet(noisy, timesteps, embeds[chosen], added_cond_kwargs=added).sample
        loss = functional.mse_loss(prediction.float(), noise.float())
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(parameters, 1.0)
        adamw.step()
        schedule.step()
        adamw.zero_grad()
    layers = get_peft_model_state_dict(accelerator.unwrap_model(unet))
    StableDiffusionXLPipeline.save_lora_weights(arguments.output, unet_lora_layers=layers)


@torch.no_grad()
def _encoded(
    pipeline: StableDiffusionXLPipeline, folder: Path, resolution: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
