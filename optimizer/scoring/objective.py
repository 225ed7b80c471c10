"""One number per checkpoint: a geometric mean, so that no part can be traded away."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.config.scoring import Preset
from optimizer.errors import DatasetError
from optimizer.scoring.array import Array
from optimizer.scoring.bootstrap import resampled_means
from optimizer.scoring.health import Health

PARTS = ("subject", "prompt", "preservation")
PRESETS: dict[Preset, dict[str, float]] = {
    "balanced": {"subject": 1.0, "prompt": 1.0, "preservation": 1.0},
    "character": {"subject": 2.0, "prompt": 1.0, "preservation": 1.0},
    "style": {"subject": 2.0, "prompt": 1.0, "preservation": 0.5},
    "prompt": {"subject": 1.0, "prompt": 2.0, "preservation": 1.0},
}
_SMALLEST = 1e-3
"""Cosines may be negative; a base below this would turn a ratio's sign."""
_KNEE = 0.9
"""Share of the way from base to ceiling from where on more counts less, but always something."""


@dataclass(frozen=True)
class Part:
    """A metric's mean over pictures and the standard error of that mean."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Anchors:
    """What scores are measured against: the base without LoRA, and real held-out pictures.

    base: metrics of the base's pictures, drawn from the same prompts and seeds, (n,) each.
    clip_i_ceiling: CLIP-I of real pictures through the VAE.
    """

    base: Mapping[str, Array]
    clip_i_ceiling: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        base = {name: values.tolist() for name, values in self.base.items()}
        return {"base": base, "clip_i_ceiling": self.clip_i_ceiling}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Anchors":
        """The reverse."""
        base = {name: np.array(values, dtype=np.float32) for name, values in data["base"].items()}
        return cls(base, float(data["clip_i_ceiling"]))

    def check(self, alike: float) -> None:
        """Raises DatasetError when the references show nothing that the base lacks.

        alike: mean CLIP-I of the references with each other.
        """
        base = float(self.base["clip_i"].mean())
        if alike <= base:
            raise DatasetError(
                "the reference pictures do not differ from what the base model draws by itself: "
                f"they are no more alike to each other (CLIP-I {alike:.3f}) than to "
                f"its pictures ({base:.3f}), so the judge cannot see the subject. Use clearer or "
                "more uniform reference pictures, or a larger clip_model"
            )


@dataclass(frozen=True)
class Scores:
    """Everything a checkpoint's pictures are worth.

    parts: raw metrics, and those of the objective in [0, 1]: `subject`, `prompt` and
    `preservation_share`. counts: pictures behind the numbers. per_picture: raw metrics of every
    picture, prompt by prompt, from which another preset's scores follow without drawing.
    """

    objective: float
    objective_se: float
    parts: dict[str, Part]
    health: Health
    counts: dict[str, int]
    per_picture: dict[str, list[float]]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Scores":
        """The reverse; other keys are passed over."""
        parts = {name: Part(**part) for name, part in data["parts"].items()}
        health = Health.from_dict(data["health"])
        return cls(
            data["objective"],
            data["objective_se"],
            parts,
            health,
            dict(data["counts"]),
            dict(data["per_picture"]),
        )


def score(
    per_picture: Mapping[str, Array],
    anchors: Anchors,
    preset: Preset,
    per_prompt: int,
    health: Health,
) -> tuple[Scores, NDArray[np.float64]]:
    """Scores from the metrics of every picture, and resampled objectives (RESAMPLES,).

    The base is resampled together with the LoRA: their pictures share prompts and seeds, and
    what a hard prompt costs both is no error of the comparison.

    Args:
        per_picture: `clip_t`, `clip_i` and `preservation` (and others, kept as raw parts), each
            (n,), prompt by prompt in the same order as the base's.
        per_prompt: pictures a prompt.
    """
    means = {name: float(values.mean()) for name, values in per_picture.items()}
    spread = {name: resampled_means(v, per_prompt) for name, v in per_picture.items()}
    base = {name: resampled_means(v, per_prompt) for name, v in anchors.base.items()}
    normal = normalised(means, {n: float(v.mean()) for n, v in anchors.base.items()}, anchors)
    normal_spread = normalised(spread, base, anchors)
    objectives = weighted_geometric_mean(normal_spread, preset)
    parts = {name: _part(means[name], spread[name]) for name in per_picture}
    for name, key in zip(PARTS, ("subject", "prompt", "preservation_share"), strict=True):
        parts[key] = _part(normal[name], normal_spread[name])
    counts = {
        "pictures": len(per_picture["clip_t"]),
        "preservation_pictures": len(per_picture["preservation"]),
        "pictures_per_prompt": per_prompt,
    }
    objective = _part(weighted_geometric_mean(normal, preset), objectives)
    raw = {name: [float(value) for value in values] for name, values in per_picture.items()}
    scores = Scores(objective.value, objective.standard_error, parts, health, counts, raw)
    return scores, objectives


def normalised(
    means: Mapping[str, Any], base: Mapping[str, Any], anchors: Anchors
) -> dict[str, Any]:
    """Parts in [0, 1]: subject between base and ceiling, the others as a share of the base's.

    A LoRA may exceed the ceiling, as its pictures are more typical of the references than real
    ones. It is not cut off there, which would make good trials equal, but bent.
    """
    span = np.maximum(anchors.clip_i_ceiling - base["clip_i"], _SMALLEST)
    return {
        "subject": _bent((means["clip_i"] - base["clip_i"]) / span),
        "prompt": _share(means["clip_t"], base["clip_t"]),
        "preservation": _share(means["preservation"], base["preservation"]),
    }


def weighted_geometric_mean(parts: Mapping[str, Any], preset: Preset) -> Any:
    """Of `subject`, `prompt` and `preservation` in [0, 1], with the exponents of a preset."""
    exponents = PRESETS[preset]
    product = np.prod([np.power(parts[name], exponents[name]) for name in PARTS], axis=0)
    return product ** (1 / sum(exponents.values()))


def _bent(share: Any) -> Any:
    """The share itself up to the knee, then ever closer to 1; increasing everywhere above 0."""
    rest = 1 - _KNEE
    above = 1 - rest * np.exp(-(np.maximum(share, _KNEE) - _KNEE) / rest)
    return np.where(share > _KNEE, above, np.maximum(share, 0))


def _share(mean: Any, base: Any) -> Any:
    return np.clip(mean / np.maximum(base, _SMALLEST), 0, 1)


def _part(value: Any, spread: Any) -> Part:
    return Part(float(value), float(np.std(spread)))
