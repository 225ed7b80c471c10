"""One number per checkpoint: a geometric mean, so that no part can be traded away."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from optimizer.config.scoring import Preset
from optimizer.errors import DatasetError
from optimizer.scoring.encoders import Array
from optimizer.scoring.health import Health

PARTS = ("subject", "prompt", "preservation")
PRESETS: dict[Preset, dict[str, float]] = {
    "balanced": {"subject": 1.0, "prompt": 1.0, "preservation": 1.0},
    "character": {"subject": 2.0, "prompt": 1.0, "preservation": 1.0},
    "style": {"subject": 2.0, "prompt": 1.0, "preservation": 0.5},
    "prompt": {"subject": 1.0, "prompt": 2.0, "preservation": 1.0},
}
_SMALLEST_BASE = 1e-3
"""A base whose cosines are not even positive would turn the ratio's sign."""
_RESAMPLES = 1000


@dataclass(frozen=True)
class Part:
    """A metric's mean over pictures and the standard error of that mean."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Anchors:
    """What scores are measured against: the base without LoRA, and real held-out pictures."""

    clip_i_base: float
    clip_i_ceiling: float
    clip_t_base: float
    preservation_base: float

    def check(self) -> None:
        """Raises DatasetError when the references show nothing that the base lacks."""
        if self.clip_i_ceiling <= self.clip_i_base:
            raise DatasetError(
                "the reference pictures are no more alike to each other than to what the base "
                f"model draws by itself (CLIP-I {self.clip_i_ceiling:.3f} against "
                f"{self.clip_i_base:.3f}): the judge cannot see the subject. Use clearer or more "
                "uniform reference pictures, or a larger clip_model"
            )


@dataclass(frozen=True)
class Scores:
    """Everything a checkpoint's pictures are worth. `parts` holds the raw metrics as well."""

    objective: float
    objective_se: float
    parts: dict[str, Part]
    health: Health

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def score(
    per_picture: Mapping[str, Array],
    anchors: Anchors,
    preset: Preset,
    per_prompt: int,
    health: Health,
) -> Scores:
    """Scores from the metrics of every picture.

    Args:
        per_picture: `clip_t`, `clip_i` and `preservation` (and others, kept as raw parts), each
            (n,), prompt by prompt in the same order.
        per_prompt: pictures a prompt: resampling keeps prompts together, because pictures of one
            prompt are alike.
    """
    chosen = _resampled(len(per_picture["clip_t"]), per_prompt)
    means = {name: values.mean() for name, values in per_picture.items()}
    spread = {name: values[chosen].mean(axis=1) for name, values in per_picture.items()}
    normal, normal_spread = normalised(means, anchors), normalised(spread, anchors)
    parts = {n: Part(float(means[n]), float(spread[n].std())) for n in per_picture}
    parts |= {n: Part(float(normal[n]), float(normal_spread[n].std())) for n in PARTS[:2]}
    parts["preservation_share"] = Part(
        float(normal["preservation"]), float(normal_spread["preservation"].std())
    )
    return Scores(
        float(_geometric_mean(normal, preset)),
        float(_geometric_mean(normal_spread, preset).std()),
        parts,
        health,
    )


def normalised(means: Mapping[str, Any], anchors: Anchors) -> dict[str, Any]:
    """Parts in [0, 1]: subject between base and ceiling, the others as shares of the base's."""
    span = anchors.clip_i_ceiling - anchors.clip_i_base
    return {
        "subject": np.clip((means["clip_i"] - anchors.clip_i_base) / span, 0, 1),
        "prompt": np.clip(means["clip_t"] / max(anchors.clip_t_base, _SMALLEST_BASE), 0, 1),
        "preservation": np.clip(
            means["preservation"] / max(anchors.preservation_base, _SMALLEST_BASE), 0, 1
        ),
    }


def _geometric_mean(parts: Mapping[str, Any], preset: Preset) -> Any:
    exponents = PRESETS[preset]
    product = np.prod([parts[name] ** exponents[name] for name in PARTS], axis=0)
    return product ** (1 / sum(exponents.values()))


def _resampled(pictures: int, per_prompt: int) -> Any:
    """Indices (resamples, n) of a two-stage bootstrap: prompts, then pictures within each."""
    rng = np.random.default_rng(0)
    prompts = pictures // per_prompt
    chosen = rng.integers(0, prompts, (_RESAMPLES, prompts, 1))
    within = rng.integers(0, per_prompt, (_RESAMPLES, prompts, per_prompt))
    return (chosen * per_prompt + within).reshape(_RESAMPLES, pictures)
