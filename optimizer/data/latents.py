"""Batches of latents: each picture is encoded by the VAE once and kept on disk."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from optimizer.data.cache import TensorStore, digest
from optimizer.data.digests import picture_digest
from optimizer.data.pixels import load_pixels
from optimizer.data.samples import BatchPlan, Sample
from optimizer.errors import DatasetError

logger = logging.getLogger(__name__)

Size = tuple[int, int]
SAY_EVERY_S = 15.0
"""A few thousand pictures take minutes to encode: someone may wonder whether it hangs."""


@dataclass(frozen=True)
class Batch:
    """What a training step needs of its pictures; sizes in pixels, as (height, width).

    latents: (B, c, h, w), not yet multiplied by the VAE's scaling factor. loss_weights: (B,).
    masks: (B, 1, h, w) in [0, 1], None where no picture of the batch has alpha_mask.
    crops_top_left: (top, left) in the resized picture, mirrored where the picture is.
    names: the pictures' file names, for messages.
    """

    latents: Tensor
    captions: tuple[str, ...]
    original_sizes: tuple[Size, ...]
    crops_top_left: tuple[Size, ...]
    target_sizes: tuple[Size, ...]
    loss_weights: Tensor
    masks: Tensor | None
    names: tuple[str, ...]


class LatentSource:
    """Loads batches, encoding what the store does not hold.

    encode: unscaled latents (1, c, h, w) of pixels (1, 3, H, W) in [-1, 1]. Pictures are
    encoded one at a time, so that latents do not depend on what else was missing.
    vae_identity: differs for every VAE that would encode otherwise.
    """

    def __init__(
        self,
        store: TensorStore,
        encode: Callable[[Tensor], Tensor],
        vae_identity: str,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.store = store
        self.encode = encode
        self.vae_identity = vae_identity
        self.dtype = dtype
        self.encoded = 0
        """Pictures that had to be encoded so far."""

    def load(self, plan: BatchPlan) -> Batch:
        """Return the batch of a plan.

        Raises:
            DatasetError: a picture cannot be decoded, or its latents are not finite.
            InputError: the store cannot be read or written.
        """
        samples = plan.samples
        loaded = [self._tensors(sample) for sample in samples]
        return Batch(
            latents=torch.stack([tensors["latents"] for tensors in loaded]),
            captions=tuple(sample.caption for sample in samples),
            original_sizes=tuple(sample.record.size for sample in samples),
            crops_top_left=tuple(sample.crop_top_left for sample in samples),
            target_sizes=tuple(sample.placement.bucket[::-1] for sample in samples),
            loss_weights=torch.tensor([sample.loss_weight for sample in samples]),
            masks=_masks(loaded),
            names=tuple(sample.record.path.name for sample in samples),
        )

    def prepare(self, plans: Iterable[BatchPlan]) -> None:
        """Encode what is missing of some plans, so that problems show before training.

        Of what is there nothing is read: a damaged file is encoded anew by whoever loads it.
        """
        missing = [sample for plan in plans for sample in plan.samples if not self._holds(sample)]
        said = time.monotonic()
        for done, sample in enumerate(missing):
            if time.monotonic() - said > SAY_EVERY_S:
                logger.info("encoded %d of %d pictures that were not cached", done, len(missing))
                said = time.monotonic()
            self._tensors(sample)

    def _holds(self, sample: Sample) -> bool:
        return sample.is_cacheable and self.store.holds(self._key(sample))

    def _tensors(self, sample: Sample) -> dict[str, Tensor]:
        if not sample.is_cacheable:
            return self._encoded(sample)
        key = self._key(sample)
        tensors = self.store.get(key)
        if tensors is None:
            tensors = self._encoded(sample)
            self.store.put(key, tensors)
        return tensors

    def _key(self, sample: Sample) -> str:
        placement, subset = sample.placement, sample.record.subset
        return digest(
            {
                "kind": "latents",
                "picture": picture_digest(sample.record.path),
                "vae": self.vae_identity,
                "dtype": str(self.dtype),
                "bucket": placement.bucket,
                "resized": placement.resized,
                "crop": sample.crop,
                "flip": sample.flip,
                "alpha_mask": subset.alpha_mask,
                "resize_interpolation": subset.resize_interpolation,
            }
        )

    def _encoded(self, sample: Sample) -> dict[str, Tensor]:
        loaded = load_pixels(sample)
        with torch.no_grad():
            latents = self.encode(loaded.pixels[None])[0].detach().cpu().to(self.dtype)
        self.encoded += 1
        if not torch.isfinite(latents).all():
            raise DatasetError(
                f"{sample.record.path}: the VAE made NaN or infinite latents of it; run the VAE "
                "in float32 or bf16, or remove the picture"
            )
        tensors = {"latents": latents}
        if loaded.alpha is not None:
            tensors["mask"] = functional.interpolate(
                loaded.alpha[None], size=latents.shape[-2:], mode="area"
            )[0]
        return tensors


def _masks(loaded: list[dict[str, Tensor]]) -> Tensor | None:
    """A picture without a mask among others with one counts in full."""
    if not any("mask" in tensors for tensors in loaded):
        return None
    ones = torch.ones(1, *loaded[0]["latents"].shape[-2:])
    return torch.stack([tensors.get("mask", ones) for tensors in loaded])
