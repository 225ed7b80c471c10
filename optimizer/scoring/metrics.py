"""Formulas over unit vectors of pictures and texts. Every function returns one value a picture."""

import numpy as np

from optimizer.scoring.encoders import Array


def clip_t(pictures: Array, texts: Array) -> Array:
    """CLIP-T: cosine (n,) of each picture (n, d) with its own text (n, d)."""
    cosines: Array = (pictures * texts).sum(axis=1)
    return cosines


def clip_i(pictures: Array, references: Array) -> Array:
    """CLIP-I: mean cosine (n,) of each picture with all references (DreamBooth, 2208.12242)."""
    means: Array = (pictures @ references.T).mean(axis=1)
    return means


def diversity(pictures: Array, per_prompt: int) -> Array:
    """1 - cosine, averaged over the other pictures of the same prompt, (n,).

    Args:
        pictures: (n, d), prompt by prompt.
        per_prompt: pictures a prompt; one alone has no diversity to speak of, so 0.
    """
    if per_prompt < 2:
        return np.zeros(len(pictures), dtype=np.float32)
    groups = pictures.reshape(-1, per_prompt, pictures.shape[1])
    cosines = groups @ groups.transpose(0, 2, 1)
    others = (cosines.sum(axis=2) - 1) / (per_prompt - 1)
    distances: Array = (1 - others).reshape(-1)
    return distances


def copy_rate(pictures: Array, training: Array, held_out: Array) -> Array:
    """1 where a picture is nearer to some training picture than to any held-out one, else 0.

    Half of the pictures of a LoRA that has learnt the subject, and not its pictures, should be,
    were both sets of one size.
    """
    nearer = (pictures @ training.T).max(axis=1) > (pictures @ held_out.T).max(axis=1)
    flags: Array = nearer.astype(np.float32)
    return flags


def cmmd(pictures: Array, references: Array, sigma: float = 10.0) -> float:
    """1000 times the unbiased squared MMD with a Gaussian kernel (CMMD, arXiv 2401.09603).

    The paper's own estimator counts each picture's kernel with itself, which dominates below some
    hundred pictures; this one does not. Fewer than two of either give nan.
    """
    if min(len(pictures), len(references)) < 2:
        return float("nan")
    within = _off_diagonal(_kernel(pictures, pictures, sigma))
    other = _off_diagonal(_kernel(references, references, sigma))
    between = float(_kernel(pictures, references, sigma).mean())
    return 1000 * (within + other - 2 * between)


def _kernel(one: Array, other: Array, sigma: float) -> Array:
    squared = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    kernel: Array = np.exp(-np.clip(squared, 0, None) / (2 * sigma**2))
    return kernel


def _off_diagonal(kernel: Array) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
