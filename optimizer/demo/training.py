"""What the three kinds of pretraining share."""

import logging
from collections.abc import Callable, Iterable
from random import Random

import numpy as np
import torch
from torch import Tensor

from optimizer.demo.world import Drawing

logger = logging.getLogger("optimizer.demo")
_LOG_EVERY = 100


def drawings(
    draw: Callable[[Random, int], Drawing], rng: Random, size: int, count: int
) -> list[Drawing]:
    """Fresh pictures from one of the world's two sources."""
    return [draw(rng, size) for _ in range(count)]


def pixels_of(batch: Iterable[Drawing]) -> Tensor:
    """Pictures as (batch, 3, h, w) in [-1, 1]."""
    arrays = np.stack([np.asarray(d.image, dtype=np.float32) for d in batch])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def optimize(
    parameters: list[torch.nn.Parameter],
    loss_of: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    name: str,
) -> float:
    """AdamW with warm-up and cosine decay, weights averaged at the end; returns the last loss."""
    adamw = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01)
    warmup = max(steps // 30, 1)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(adamw, steps, learning_rate / 50)
    warm = torch.optim.lr_scheduler.LinearLR(adamw, 0.02, total_iters=warmup)
    averages = [p.detach().clone() for p in parameters]
    recent: list[float] = []
    for step in range(steps):
        loss = loss_of(step)
        adamw.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adamw.step()
        (warm if step < warmup else decay).step()
        _average(averages, parameters, min(0.998, (step + 1) / (step + 10)))
        recent = [*recent[-_LOG_EVERY + 1 :], loss.item()]
        if (step + 1) % _LOG_EVERY == 0:
            logger.info("%s: step %d of %d, loss %.4f", name, step + 1, steps, np.mean(recent))
    for parameter, average in zip(parameters, averages, strict=True):
        parameter.data.copy_(average)
    return float(np.mean(recent))


@torch.no_grad()
def _average(averages: list[Tensor], parameters: list[torch.nn.Parameter], keep: float) -> None:
    torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - keep)
