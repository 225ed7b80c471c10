"""Formulas over unit vectors of pictures and texts. Most return one value a picture."""

import numpy as np

from optimizer.scoring.array import Array

FEWEST_FOR_CMMD = 64
"""Below this many pictures the noise of CMMD is larger than what good LoRAs differ by."""


def clip_t(pictures: Array, texts: Array) -> Array:
    """CLIP-T: cosine (n,) of each picture (n, d) with its own text (n, d) (2208.12242)."""
    cosines: Array = (pictures * texts).sum(axis=1)
    return cosines


def clip_i(pictures: Array, references: Array) -> Array:
    """CLIP-I: mean cosine (n,) of each picture with all references (DreamBooth, 2208.12242)."""
    means: Array = (pictures @ references.T).mean(axis=1)
    return means


def ceiling(rebuilt: Array, references: Array) -> float:
    """CLIP-I that real pictures reach: references through the VAE (n, d) against all references.

    Each is compared with itself, too: it stands for a new picture in the same surroundings, which
    prompts ask for as well. Left out, real pictures would be judged by strangers only and drawn
    ones by everybody: on the demo world fresh real pictures reach 0.427, this says 0.439, and
    without themselves it would be 0.367, which good LoRAs (0.40) exceed.
    """
    return float(clip_i(rebuilt, references).mean())


def alike(rebuilt: Array, references: Array) -> float:
    """Mean cosine of real pictures with the other ones; of a single one, with itself."""
    cosines = rebuilt @ references.T
    return float(cosines[0, 0]) if len(cosines) == 1 else _off_diagonal(cosines)


def diversity(pictures: Array, per_prompt: int) -> Array:
    """1 - cosine, averaged over the other pictures of the same prompt, (n,).

    Args:
        pictures: (n, d), prompt by prompt.
        per_prompt: pictures a prompt, two or more.
    """
    groups = pictures.reshape(-1, per_prompt, pictures.shape[1])
    cosines = groups @ groups.transpose(0, 2, 1)
    selves = np.diagonal(cosines, axis1=1, axis2=2)
    others = (cosines.sum(axis=2) - selves) / (per_prompt - 1)
    distances: Array = (1 - others).reshape(-1)
    return distances


def copy_rate(pictures: Array, training: Array, held_out: Array) -> Array:
    """1 where a picture is nearer to a training picture than real new pictures are, else 0, (n,).

    A picture's lead is its cosine with the nearest training picture minus that with the nearest
    held-out one. There are more training pictures, so even real pictures lead a little: the
    largest lead of a held-out picture, compared with the other held-out ones, is what a new
    picture may have. With a single held-out picture that is unknown, and taken as 0.
    (After Somepalli et al., CVPR 2023, who put a fixed limit on the cosine of a copy detector.)
    """
    allowed = 0.0
    if len(held_out) > 1:
        others = held_out @ held_out.T
        np.fill_diagonal(others, -1)
        allowed = float(((held_out @ training.T).max(axis=1) - others.max(axis=1)).max())
    lead = (pictures @ training.T).max(axis=1) - (pictures @ held_out.T).max(axis=1)
    flags: Array = (lead > max(allowed, 0.0)).astype(np.float32)
    return flags


def cmmd(pictures: Array, references: Array, sigma: float = 10.0) -> tuple[float, float] | None:
    """1000 times the unbiased squared MMD with a Gaussian kernel, and its standard error.

    CMMD (Jayasumana et al., 2401.09603): k(a, b) = exp(-|a - b|^2 / (2 sigma^2)). Their own
    estimator counts each picture's kernel with itself, which dominates below some hundred
    pictures; this one does not, and may be negative. The error is that of drawing other pictures,
    the references being fixed, to first order. None below 64 pictures or two references.
    """
    n = len(pictures)
    if n < FEWEST_FOR_CMMD or len(references) < 2:
        return None
    within, between = _kernel(pictures, pictures, sigma), _kernel(pictures, references, sigma)
    alike = (within.sum(axis=1) - np.diagonal(within)) / (n - 1)
    real = _off_diagonal(_kernel(references, references, sigma))
    value = alike.mean() + real - 2 * between.mean()
    influence = 2 * (alike - between.mean(axis=1))
    return 1000 * float(value), 1000 * float(influence.std(ddof=1) / np.sqrt(n))


def _kernel(one: Array, other: Array, sigma: float) -> Array:
    a, b = one.astype(np.float64), other.astype(np.float64)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    kernel: Array = np.exp(-np.clip(squared, 0, None) / (2 * sigma**2))
    return kernel


def _off_diagonal(square: Array) -> float:
    n = len(square)
    return float((square.sum() - np.trace(square)) / (n * (n - 1)))
