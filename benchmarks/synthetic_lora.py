"""A made-up LoRA training for search_efficiency.py: what settings are worth, epoch by epoch.

Made before any policy was measured on it. Eight settings of mixed kinds. The learning rate matters
most and saturates (far off is as bad as further off); alpha, dim and the optimizer move its
optimum. High rates peak early and then fall off, low ones are still rising at the end. Some
settings do not fit the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.config.space import SpaceConfig
from optimizer.config.training import Hyperparameters
from optimizer.space.search_space import SearchSpace

EPOCHS = (2, 4, 6, 8, 10)
NOISE = 0.02
"""Standard deviation of a score: two thirds of its variance are the trial's, the rest the
checkpoint's."""
BEST = 0.75
MEMORY_GB = 13.5
OPTIMIZERS, SCHEDULERS = ("AdamW", "Lion", "Adafactor"), ("cosine", "linear", "constant")
DIMS = {"sd15": (16, 32, 64, 128), "sdxl": (32, 64, 96, 128)}
_NEEDED_GB = {"AdamW": 3.0, "Lion": 1.5, "Adafactor": 0.0}
_FASTER = {"AdamW": 0.0, "Lion": 0.5, "Adafactor": -0.2}
"""Decades by which an optimizer's step is larger at the same rate."""


@dataclass(frozen=True)
class Task:
    """Where a family's optimum lies; `optimum` holds the best value of each setting."""

    family: str
    optimum: Mapping[str, Any]
    optimizer_cost: Mapping[str, float]
    scheduler_cost: Mapping[str, float]

    def curve(self, settings: Hyperparameters) -> dict[int, float]:
        """True worth of the checkpoint of each epoch."""
        off = self._rate_off(settings)
        peak = float(np.clip(8 * 10 ** (-0.5 * off), 2, 40))
        level = max(BEST - self._cost(settings, off), 0.0)
        return {epoch: level * _learnt(epoch, peak) for epoch in EPOCHS}

    def memory(self, settings: Hyperparameters) -> float:
        """GB that a training needs."""
        encoders = 2.5 if settings.text_encoder_lr else 0.0
        return 6 + settings.network_dim / 32 + encoders + _NEEDED_GB[settings.optimizer_type]

    def _rate_off(self, settings: Hyperparameters) -> float:
        """Decades above the best learning rate, as alpha, dim and optimizer move it."""
        share = settings.network_alpha / settings.network_dim
        moved = _FASTER[settings.optimizer_type] + 0.5 * np.log10(share / self.optimum["alpha"])
        moved += 0.1 * np.log2(settings.network_dim / self.optimum["dim"])
        return float(np.log10(settings.learning_rate) - self.optimum["log_rate"] + moved)

    def _cost(self, s: Hyperparameters, off: float) -> float:
        best, width = self.optimum, 0.45 if off > 0 else 0.7
        share, encoders = s.network_alpha / s.network_dim, s.text_encoder_lr / s.learning_rate
        costs = (
            0.30 * (1 - np.exp(-((off / width) ** 2))),
            0.04 * abs(np.log2(s.network_dim / best["dim"])),
            0.05 * ((share - best["alpha"]) / 0.5) ** 2,
            0.10 * ((encoders - best["encoders"]) / 0.5) ** 2,
            0.04 * (((s.min_snr_gamma or 0.0) - best["gamma"]) / 5) ** 2,
            0.06 * ((s.noise_offset - best["offset"]) / 0.05) ** 2,
            self.optimizer_cost[s.optimizer_type],
            self.scheduler_cost[s.lr_scheduler],
        )
        return float(sum(costs))


def _learnt(epoch: int, peak: float) -> float:
    """Share of its level that a training has reached: up to the peak, then over-trained."""
    if epoch <= peak:
        return 1 - 0.9 * (1 - epoch / peak) ** 2
    return max(1 - 0.15 * (epoch / peak - 1), 0.0)


def space_of_family(family: str) -> SearchSpace:
    """Eight searched settings, as a search space file would say it."""
    rate = {"type": "float", "low": 3e-6, "high": 3e-3, "log": True}
    encoders = {"type": "float", "low": 0.0, "high": 0.8, "step": 0.1, "ratio_of": "learning_rate"}
    alpha = {"type": "float", "low": 0.25, "high": 1.0, "ratio_of": "network_dim"}
    parameters = {
        "learning_rate": rate,
        "text_encoder_lr": encoders,
        "network_dim": {"type": "categorical", "choices": DIMS[family]},
        "network_alpha": alpha,
        "optimizer_type": {"type": "categorical", "choices": OPTIMIZERS},
        "lr_scheduler": {"type": "categorical", "choices": SCHEDULERS},
        "min_snr_gamma": {"type": "float", "low": 1.0, "high": 10.0},
        "noise_offset": {"type": "float", "low": 0.0, "high": 0.1},
    }
    config = SpaceConfig.model_validate({"parameters": parameters})
    return SearchSpace(config, Hyperparameters(max_train_epochs=EPOCHS[-1], save_every_n_epochs=2))


def draw_pair(rng: np.random.Generator, shift: float) -> tuple[Task, Task]:
    """A source task and its target: the optimum of the rate shifted by N(0, shift) decades.

    The other optima move too: numbers by a tenth of their range, choices sometimes.
    """
    while True:
        source = _draw(rng)
        target = _moved(source, rng, shift)
        if _fits(source) and _fits(target):
            return source, target


def _draw(rng: np.random.Generator) -> Task:
    optimum = {
        "log_rate": rng.normal(-4, 0.3),
        "dim": int(rng.choice(DIMS["sd15"])),
        "alpha": rng.uniform(0.25, 1.0),
        "encoders": rng.uniform(0.1, 0.8),
        "gamma": rng.uniform(1, 10),
        "offset": rng.uniform(0, 0.1),
    }
    return Task("sd15", optimum, _costs(OPTIMIZERS, 0.06, rng), _costs(SCHEDULERS, 0.04, rng))


def _moved(source: Task, rng: np.random.Generator, shift: float) -> Task:
    ranges = {"alpha": (0.25, 1.0), "encoders": (0.0, 0.8), "gamma": (1, 10), "offset": (0, 0.1)}
    moved: dict[str, Any] = {
        name: float(np.clip(source.optimum[name] + rng.normal(0, 0.1 * (high - low)), low, high))
        for name, (low, high) in ranges.items()
    }
    stays = rng.random(3) < 0.7
    nearest = min(DIMS["sdxl"], key=lambda dim: abs(dim - source.optimum["dim"]))
    moved["dim"] = nearest if stays[0] else int(rng.choice(DIMS["sdxl"]))
    rate = source.optimum["log_rate"] + shift * rng.standard_normal()
    moved["log_rate"] = float(np.clip(rate, np.log10(6e-6), np.log10(1.5e-3)))
    fresh = replace(source, family="sdxl", optimum=moved)
    if not stays[1]:
        fresh = replace(fresh, optimizer_cost=_costs(OPTIMIZERS, 0.06, rng))
    return fresh if stays[2] else replace(fresh, scheduler_cost=_costs(SCHEDULERS, 0.04, rng))


def _costs(choices: tuple[str, ...], most: float, rng: np.random.Generator) -> dict[str, float]:
    """Nothing for the best choice, up to `most` for the others."""
    costs = rng.uniform(0, most, len(choices))
    return dict(zip(choices, (costs - costs.min()).tolist(), strict=True))


def _fits(task: Task) -> bool:
    """Whether the best settings of all fit the memory: then the regret of a trial is known."""
    best = task.optimum
    optimizer_type = min(task.optimizer_cost, key=lambda name: task.optimizer_cost[name])
    settings = Hyperparameters.model_validate(
        {
            "network_dim": best["dim"],
            "text_encoder_lr": best["encoders"] * 1e-4,
            "optimizer_type": optimizer_type,
        }
    )
    return task.memory(settings) <= MEMORY_GB
