"""What a run does when the card's memory is full, instead of dying."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.errors import SpilledError
from optimizer.models.device import free_unused
from optimizer.training.adapters import Adapters
from optimizer.training.spill import SpillGuard

logger = logging.getLogger(__name__)


class MemoryLadder:
    """Tries a step again in ways that need less memory, down to one picture at a time.

    The first way down is gradient checkpointing, where the settings leave it open; then batches
    are passed through in parts. Either way the same pictures make up an update.
    """

    def __init__(self, settings: Hyperparameters, adapters: Adapters) -> None:
        self.adapters = adapters
        self.may_checkpoint = settings.gradient_checkpointing == "auto"
        self.checkpoints = settings.gradient_checkpointing is True
        self.guard = SpillGuard()
        self.parts = 1
        """In how many parts a batch goes through the networks."""

    def state(self) -> dict[str, int]:
        """Where on the ladder the run is."""
        return {"checkpoints": int(self.checkpoints), "parts": self.parts}

    def load(self, state: dict[str, int]) -> None:
        """The reverse of `state`."""
        self.parts = state["parts"]
        self.checkpoints = bool(state["checkpoints"])
        self.adapters.checkpoint_gradients(self.checkpoints)

    def fitted(self, step: Callable[[int], Tensor], batch: int) -> Tensor:
        """Run a step, which takes the number of parts, until it fits.

        Args:
            batch: pictures in its largest batch; there is no way down once each is a part.

        Raises:
            torch.OutOfMemoryError: it does not fit in any way.
        """
        while True:
            try:
                return step(self.parts)
            except torch.OutOfMemoryError:
                if not self._go_down(batch, "out of memory"):
                    raise
            # Out here the error, which held the failed step's tensors, is gone.
            free_unused()

    def paced(self, seconds: float, batch: int) -> None:
        """Take note of how long an update took; needs less from the next one on if that is a spill.

        Raises:
            SpilledError: there is no way left to need less.
        """
        if not self.guard.spills(seconds):
            return
        cause = (
            f"updates take {seconds:.3g} s instead of {self.guard.baseline:.3g} s with the card "
            "full: the driver spills into host memory, or somebody else fills the card"
        )
        if not self._go_down(batch, cause):
            raise SpilledError(
                f"{cause}; lower train_batch_size or network_dim, or set study.memory_limit"
            )

    def _go_down(self, batch: int, cause: str) -> bool:
        if self.may_checkpoint and not self.checkpoints:
            self.checkpoints = True
            self.adapters.checkpoint_gradients(True)
            logger.warning("%s; going on with gradient checkpointing", cause)
            return True
        if self.parts >= batch:
            return False
        self.parts = min(2 * self.parts, batch)
        logger.warning("%s; going on with batches in %d parts", cause, self.parts)
        return True
