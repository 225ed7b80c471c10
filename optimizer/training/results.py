"""What a training run tells of itself, and what it asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from optimizer.config.training import Hyperparameters
from optimizer.data.latents import Batch
from optimizer.models.base import PromptEmbeds


@dataclass(frozen=True)
class Checkpoint:
    """One saved LoRA of a run."""

    epoch: int
    global_step: int
    path: Path
    sha256: str


@dataclass(frozen=True)
class Step:
    """What happened in one update. Loss is the mean over its micro-batches; seconds are its own."""

    epoch: int
    global_step: int
    max_train_steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """What a run left behind."""

    checkpoints: tuple[Checkpoint, ...]
    global_step: int
    max_train_steps: int
    stopped_early: bool
    seconds: float


class TrainingData(Protocol):
    """Where batches come from."""

    def epoch(self, epoch: int, settings: Hyperparameters) -> Sequence[Any]:
        """The batch plans of an epoch, in training order; the same for the same seed."""

    def load(self, plan: Any) -> Batch:
        """Latents and captions of one batch."""

    def embeds(self, captions: Sequence[str], settings: Hyperparameters) -> PromptEmbeds:
        """Embeddings of captions by the frozen text encoders."""


Report = Callable[[Checkpoint], bool]
Observe = Callable[[Step], None]
