"""Makes the demo's tiny models: `python -m optimizer.demo.pretrain [--output DIR]`.

The shipped weights were made on 2026-11-23 on a virtual machine with 2 CPU cores, one thread for
SDXL and one for the rest side by side, with other work going on: about 65 minutes in all.

    judge   900 steps   contrastive loss 0.67
    sd15    2000 steps  VAE: 22.4 dB on fresh pictures, scaling factor 0.2495
            2000 steps  UNet and text encoder: loss 0.043
    sdxl    2400 steps  VAE: 23.4 dB, scaling factor 0.3456
            1700 steps  UNet and text encoders: loss 0.041
"""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPProcessor, CLIPTokenizer

from optimizer.demo import architectures as tiny
from optimizer.demo.pretrain_base import BETAS, train_base
from optimizer.demo.pretrain_judge import train_judge
from optimizer.demo.pretrain_vae import train_vae
from optimizer.demo.tokenizer import write_tokenizer

T = TypeVar("T")

STEPS = {"judge": 900, "vae_sd15": 2000, "vae_sdxl": 2400, "sd15": 2000, "sdxl": 1700}
WEIGHTS = Path(__file__).parent / "weights"


def pretrain_judge(folder: Path, tokenizer: CLIPTokenizer, device: torch.device) -> None:
    """The CLIP that scores."""
    size = tiny.JUDGE_SIZE
    judge = _seeded(3, lambda: tiny.judge(tokenizer))
    train_judge(judge, tokenizer, size=size, steps=STEPS["judge"], seed=3, device=device)
    judge.half().save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size)
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)


def pretrain_sd15(folder: Path, tokenizer: CLIPTokenizer, device: torch.device) -> None:
    """SD1.5's layout at 32 px."""
    seed, steps = 1, STEPS["sd15"]
    vae = _seeded(seed, tiny.sd15_vae)
    train_vae(vae, steps=STEPS["vae_sd15"], seed=seed, device=device)
    unet, encoder = _seeded(seed, lambda: (tiny.sd15_unet(), tiny.sd15_text_encoder(tokenizer)))

    def conditions(ids: Tensor) -> dict[str, Any]:
        return {"encoder_hidden_states": encoder(ids).last_hidden_state}

    train_base(unet, [encoder], vae, tokenizer, conditions, steps=steps, seed=seed, device=device)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=_sampler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(dtype=torch.float16).save_pretrained(folder)


def pretrain_sdxl(folder: Path, tokenizer: CLIPTokenizer, device: torch.device) -> None:
    """SDXL's layout at 64 px."""
    seed, steps = 2, STEPS["sdxl"]
    vae = _seeded(seed, tiny.sdxl_vae)
    train_vae(vae, steps=STEPS["vae_sdxl"], seed=seed, device=device)
    unet, (first, second) = _seeded(
        seed, lambda: (tiny.sdxl_unet(), tiny.sdxl_text_encoders(tokenizer))
    )

    def conditions(ids: Tensor) -> dict[str, Any]:
        one = first(ids, output_hidden_states=True)
        two = second(ids, output_hidden_states=True)
        states = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
        added = {"text_embeds": two.text_embeds, "time_ids": _time_ids(len(ids), device)}
        return {"encoder_hidden_states": states, "added_cond_kwargs": added}

    train_base(
        unet, [first, second], vae, tokenizer, conditions, steps=steps, seed=seed, device=device
    )
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=_sampler(),
        # Dropped captions were "" in training, so "" is what guidance must lead away from.
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    ).to(dtype=torch.float16).save_pretrained(folder)


def _seeded(seed: int, make: Callable[[], T]) -> T:
    """A network whose first weights depend on nothing made before it."""
    torch.manual_seed(seed)
    return make()


def _sampler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1)


def _time_ids(batch: int, device: torch.device) -> Tensor:
    """Mostly the native size; now and then a larger source, so that the numbers have been seen."""
    native = float(tiny.SDXL_SIZE)
    ids = torch.tensor([native, native, 0, 0, native, native]).repeat(batch, 1)
    varied = torch.rand(batch) < 0.3
    ids[varied, :2] = torch.randint(32, 1024, (int(varied.sum()), 2)).float()
    ids[varied, 2:4] = torch.randint(0, 16, (int(varied.sum()), 2)).float()
    return ids.to(device)


def main() -> None:
    """Train the parts asked for, one after another."""
    makers = {"judge": pretrain_judge, "sd15": pretrain_sd15, "sdxl": pretrain_sdxl}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--only", choices=makers, action="append")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = write_tokenizer(arguments.output / "tokenizer")
    for part in arguments.only or makers:
        makers[part](arguments.output / part, tokenizer, device)


if __name__ == "__main__":
    main()
