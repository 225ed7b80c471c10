"""Pretraining of the CLIP that scores pictures."""

from random import Random

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from optimizer.demo.training import drawings, optimize, pixels_of
from optimizer.demo.world import judge_drawing

_BATCH = 192
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def train_judge(
    judge: CLIPModel,
    tokenizer: CLIPTokenizer,
    *,
    size: int,
    steps: int,
    seed: int,
    device: torch.device,
) -> float:
    """Train in place; half of the pictures are seen shrunk to 32 px and enlarged again.

    SD1.5's pictures come at that size, and both families should be judged by the same eye.
    """
    torch.manual_seed(seed)
    rng = Random(seed)
    judge.to(device).train()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))

    def loss_of(step: int) -> Tensor:
        batch = drawings(judge_drawing, rng, size, _BATCH)
        pixels = _blurred(pixels_of(batch), size)
        pixels = ((pixels + 1) / 2 - mean) / std
        captions = [d.caption for d in batch]
        ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
        with torch.autocast(device.type, torch.bfloat16):
            output = judge(input_ids=ids.input_ids.to(device), pixel_values=pixels.to(device))
        return _contrastive(output.logits_per_image.float(), captions)

    parameters = list(judge.parameters())
    return optimize(parameters, loss_of, steps=steps, learning_rate=1.2e-3, name="judge")


def _blurred(pixels: Tensor, size: int) -> Tensor:
    half = len(pixels) // 2
    small = functional.interpolate(pixels[:half], size // 2, mode="area")
    large = functional.interpolate(small, size, mode="bicubic").clamp(-1, 1)
    return torch.cat([large, pixels[half:]])


def _contrastive(logits: Tensor, captions: list[str]) -> Tensor:
    """CLIP's loss, where pictures with equal captions are positives of each other."""
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    labels = torch.tensor([numbers[caption] for caption in captions], device=logits.device)
    same = (labels[:, None] == labels[None]).float()
    wanted = same / same.sum(dim=1, keepdim=True)
    rows = -(wanted * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
    columns = -(wanted * functional.log_softmax(logits.T, dim=1)).sum(dim=1).mean()
    return (rows + columns) / 2
