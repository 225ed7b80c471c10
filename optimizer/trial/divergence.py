"""Stops a training whose LoRA has come to predict no more than nothing."""

from collections import deque

import torch
from diffusers import DDPMScheduler

from optimizer.config.training import Hyperparameters
from optimizer.errors import DivergedError
from optimizer.training.loss import huber_thresholds, per_picture_loss, timestep_weights
from optimizer.training.results import Step

WINDOW = 20
"""Updates that the loss is averaged over, and for which it must stay as bad as it is."""
NEAR_NOTHING = 0.7
"""Share of the loss of predicting nothing. Training on a base model that knows pictures stays far
below: the mean is about 0.1. What diverged was measured at 0.95 to 1.1."""
RISE = 2.0
"""How far above its first update's loss, which is the base model's own, a training must be."""


def loss_of_nothing(scheduler: DDPMScheduler, settings: Hyperparameters) -> float:
    """The expected loss of a model that always predicts zeros: the target has unit variance."""
    steps = torch.arange(0, int(scheduler.config.num_train_timesteps), 10)
    target = torch.randn(len(steps), 4, 16, 16, generator=torch.Generator().manual_seed(0))
    thresholds = huber_thresholds(scheduler, steps, settings)
    nothing = torch.zeros_like(target)
    losses = per_picture_loss(nothing, target, None, settings.loss_type, thresholds)
    return float((losses * timestep_weights(scheduler, steps, settings)).mean())


class DivergenceGuard:
    """Told of every update of one training.

    The mean of the first updates is no measure to compare with: at a rate far too high, the second
    one is lost already. A single loss is none either: with one picture a batch it may be thirty
    times another by its timestep alone. So the mean of the last updates is held against what
    predicting nothing would cost.

    Args:
        nothing: see `loss_of_nothing`.
    """

    def __init__(self, nothing: float) -> None:
        self.nothing = nothing
        self.first: float | None = None
        self.last: deque[float] = deque(maxlen=WINDOW)
        self.bad_updates = 0

    def observe(self, step: Step) -> None:
        """Take note of an update.

        Raises:
            DivergedError: the mean loss was near that of predicting nothing for WINDOW updates,
                and far above the first one's.
        """
        self.first = step.loss if self.first is None else self.first
        self.last.append(step.loss)
        mean = sum(self.last) / len(self.last)
        is_bad = mean > NEAR_NOTHING * self.nothing and mean > RISE * self.first
        self.bad_updates = self.bad_updates + 1 if is_bad else 0
        if len(self.last) == WINDOW and self.bad_updates >= WINDOW:
            raise DivergedError(
                f"the loss rose from {self.first:.3g} to {mean:.3g} and stayed there up to step "
                f"{step.global_step} of {step.max_train_steps} (predicting nothing at all costs "
                f"{self.nothing:.3g}); lower the learning rate, or warm up longer"
            )
