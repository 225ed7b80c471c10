"""How far a mean over pictures would move with other prompts and other seeds."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.scoring.array import Array

RESAMPLES = 1000


def resampled_means(values: Array, per_prompt: int) -> NDArray[np.float64]:
    """Means (RESAMPLES,) of a two-stage bootstrap: prompts drawn anew, then pictures in each.

    Pictures of one prompt are alike, so resampling pictures alone would promise too much (the
    two stages together promise rather too little). Random numbers are fixed and depend on the
    layout alone: two LoRAs over the same plan are resampled alike, and their differences are
    paired differences.

    Args:
        values: (prompts * per_prompt,), prompt by prompt.
    """
    means: NDArray[np.float64] = values.astype(np.float64)[_chosen(len(values), per_prompt)].mean(1)
    return means


@cache
def _chosen(pictures: int, per_prompt: int) -> Any:
    rng = np.random.default_rng(0)
    prompts = pictures // per_prompt
    chosen = rng.integers(0, prompts, (RESAMPLES, prompts, 1))
    within = rng.integers(0, per_prompt, (RESAMPLES, prompts, per_prompt))
    return (chosen * per_prompt + within).reshape(RESAMPLES, pictures)
