"""Two LoRAs over the same prompts and seeds: differences picture by picture."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.scoring.bootstrap import resampled_means
from optimizer.scoring.scorer import Scored


@dataclass(frozen=True)
class Difference:
    """B minus A, with a 95 % bootstrap interval over prompts and seeds."""

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
    """The objective and every metric of B against A; three LoRAs are compared pair by pair.

    Raises:
        ValueError: they were not drawn from the same prompts and seeds.
    """
    if _plan(a) != _plan(b):
        raise ValueError("only pictures of the same prompts and seeds can be compared in pairs")
    per_prompt = a.scores.counts["pictures_per_prompt"]
    found = [
        _difference(
            "objective", a.scores.objective, b.scores.objective, b.objectives - a.objectives
        )
    ]
    for metric in (name for name in a.per_picture if name in b.per_picture):
        one, other = a.per_picture[metric], b.per_picture[metric]
        spread = resampled_means(other - one, per_prompt)
        found.append(_difference(metric, float(one.mean()), float(other.mean()), spread))
    return found


def _plan(scored: Scored) -> list[tuple[str, int]]:
    return [(p.judged, p.seed) for p in (*scored.pictures, *scored.preservation_pictures)]


def _difference(metric: str, a: float, b: float, spread: NDArray[np.floating[Any]]) -> Difference:
    low, high = np.percentile(spread, [2.5, 97.5])
    return Difference(metric, a, b, b - a, float(low), float(high))
