"""Pictures with noise in them, and how many of them go through the networks at once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from optimizer.models.base import PictureSizes


@dataclass(frozen=True)
class Noised:
    """A batch with noise in it. All tensors begin with (b, ...); target is what to predict."""

    noisy: Tensor
    target: Tensor
    timesteps: Tensor
    captions: tuple[str, ...]
    sizes: tuple[PictureSizes, ...]
    loss_weights: Tensor
    masks: Tensor | None

    def __len__(self) -> int:
        return len(self.captions)

    def part(self, part: slice) -> "Noised":
        """Some of its pictures."""
        return Noised(
            self.noisy[part],
            self.target[part],
            self.timesteps[part],
            self.captions[part],
            self.sizes[part],
            self.loss_weights[part],
            None if self.masks is None else self.masks[part],
        )


def regrouped(batches: Sequence[Noised], at_once: int) -> Iterator[Noised]:
    """The same pictures in batches of one shape each, as equal as can be, of at most `at_once`.

    A picture's weight becomes its share of the mean over the batch it was in: the sum of the new
    batches' losses is that of the old ones' means.
    """
    alike: dict[tuple[torch.Size, bool], list[Noised]] = {}
    for batch in batches:
        kind = (batch.noisy.shape[1:], batch.masks is None)
        shared = replace(batch, loss_weights=batch.loss_weights / len(batch))
        alike.setdefault(kind, []).append(shared)
    for group in alike.values():
        yield from _parts(_joined(group), at_once)


def _joined(batches: Sequence[Noised]) -> Noised:
    masks = [batch.masks for batch in batches if batch.masks is not None]
    return Noised(
        torch.cat([batch.noisy for batch in batches]),
        torch.cat([batch.target for batch in batches]),
        torch.cat([batch.timesteps for batch in batches]),
        tuple(caption for batch in batches for caption in batch.captions),
        tuple(size for batch in batches for size in batch.sizes),
        torch.cat([batch.loss_weights for batch in batches]),
        torch.cat(masks) if masks else None,
    )


def _parts(batch: Noised, at_once: int) -> Iterator[Noised]:
    count, total = math.ceil(len(batch) / at_once), len(batch)
    for number in range(count):
        yield batch.part(slice(total * number // count, total * (number + 1) // count))
