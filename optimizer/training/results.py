"""What a training run tells of itself, and what it asks for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from optimizer.config.training import Hyperparameters
from optimizer.data.latents import Batch
from optimizer.data.samples import BatchPlan
from optimizer.models.base import PromptEmbeds
from optimizer.training.memory import MemoryWay


@dataclass(frozen=True)
class Checkpoint:
    """One saved LoRA of a run.

    validation_losses: mean squared error on the validation pictures by timestep (as text, which
    JSON keeps); empty where there are none.
    """

    epoch: int
    global_step: int
    path: Path
    sha256: str
    validation_losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def validation_loss(self) -> float | None:
        """Mean over the timesteps; None without validation pictures."""
        losses = self.validation_losses.values()
        return sum(losses) / len(losses) if losses else None


@dataclass(frozen=True)
class Step:
    """What happened in one update.

    loss: mean over its micro-batches. learning_rates: by parameter group, `unet` and so on.
    grad_norm: before clipping. seconds: its own. memory: most bytes held on the card since the
    run began, None on the CPU.
    """

    epoch: int
    global_step: int
    max_train_steps: int
    loss: float
    learning_rates: Mapping[str, float]
    grad_norm: float
    seconds: float
    memory: int | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What a run left behind. memory: how it fitted the card at last."""

    checkpoints: tuple[Checkpoint, ...]
    global_step: int
    max_train_steps: int
    stopped_early: bool
    seconds: float
    memory: MemoryWay


class TrainingData(Protocol):
    """Where batches come from."""

    @property
    def digest(self) -> str:
        """Names pictures and captions by their content."""

    def epoch(self, epoch: int, settings: Hyperparameters) -> Sequence[BatchPlan]:
        """The batch plans of an epoch, in training order; the same for the same seed."""

    def validation(self) -> Sequence[BatchPlan]:
        """The batch plans of the validation pictures, always the same."""

    def load(self, plan: BatchPlan) -> Batch:
        """Latents and captions of one batch."""

    def embeds(self, captions: Sequence[str], settings: Hyperparameters) -> PromptEmbeds:
        """Embeddings of captions by the frozen text encoders."""

    def encode_captions(self, plans: Sequence[BatchPlan], settings: Hyperparameters) -> None:
        """Have the frozen text encoders encode now what `embeds` will be asked for."""

    def header(self, settings: Hyperparameters) -> Mapping[str, Any]:
        """What a LoRA file's header says of the pictures, by sd-scripts' names."""


Report = Callable[[Checkpoint], bool]
Observe = Callable[[Step], None]
