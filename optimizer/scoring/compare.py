"""Two LoRAs over the same prompts and seeds: differences picture by picture."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from optimizer.scoring.scorer import Scored

METRICS = ("clip_t", "clip_i", "preservation", "diversity", "copy_rate")
_RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """B minus A: the mean over pictures, with a 95 % bootstrap interval."""

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"is_clear": self.is_clear}


def differences(a: Scored, b: Scored) -> list[Difference]:
    """Every metric of B against A; both must have drawn the same plan."""
    return [_difference(metric, a, b) for metric in METRICS]


def _difference(metric: str, a: Scored, b: Scored) -> Difference:
    one, other = a.per_picture[metric], b.per_picture[metric]
    paired = other - one
    rng = np.random.default_rng(0)
    means = paired[rng.integers(0, len(paired), (_RESAMPLES, len(paired)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(
        metric,
        float(one.mean()),
        float(other.mean()),
        float(paired.mean()),
        float(low),
        float(high),
    )
