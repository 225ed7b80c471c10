"""What a run does when the card's memory is full, instead of dying."""

import gc
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.training.adapters import Adapters

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
                if not self._go_down(batch):
                    raise
            # Out here the error, which held the failed step's tensors, is gone.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _go_down(self, batch: int) -> bool:
        if self.may_checkpoint and not self.checkpoints:
            self.checkpoints = True
            self.adapters.checkpoint_gradients(True)
            logger.warning("out of memory; going on with gradient checkpointing")
            return True
        if self.parts >= batch:
            return False
        self.parts = min(2 * self.parts, batch)
        logger.warning("out of memory; going on with batches in %d parts", self.parts)
        return True
