"""How an update is made to fit the card, and what a run does when it does not, instead of dying."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from optimizer.errors import SpilledError
from optimizer.models.device import free_unused
from optimizer.training.adapters import Adapters
from optimizer.training.spill import SpillGuard

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemoryWay:
    """How updates go through the networks. None of it changes what they are, but for rounding.

    checkpoints: activations are computed again for the backward pass instead of kept. at_once:
    most pictures that go through together. resting: networks that wait in host memory while the
    UNet trains, by their pipeline attribute.
    """

    checkpoints: bool
    at_once: int
    resting: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For people."""
        count = "1 picture" if self.at_once == 1 else f"{self.at_once} pictures"
        facts = [f"{count} at once", f"{'with' if self.checkpoints else 'no'} checkpointing"]
        if self.resting:
            facts.append(f"{', '.join(self.resting)} off the card")
        return ", ".join(facts)


class MemoryLadder:
    """Tries a step again in ways that need less memory, down to one picture at a time.

    The first way down is gradient checkpointing, where the settings leave it open; then batches
    are passed through in parts. Either way the same pictures make up an update.
    """

    def __init__(self, way: MemoryWay, adapters: Adapters, *, may_checkpoint: bool) -> None:
        self.adapters, self.may_checkpoint = adapters, may_checkpoint
        self.guard = SpillGuard()
        self._go(way)

    def _go(self, way: MemoryWay) -> None:
        self.way = way
        self.adapters.checkpoint_gradients(way.checkpoints)

    def state(self) -> dict[str, int]:
        """Where on the ladder the run is."""
        return {"checkpoints": int(self.way.checkpoints), "at_once": self.way.at_once}

    def load(self, state: dict[str, int]) -> None:
        """The reverse of `state`."""
        checkpoints, at_once = bool(state["checkpoints"]), state["at_once"]
        self._go(replace(self.way, checkpoints=checkpoints, at_once=at_once))

    def fitted(self, step: Callable[[int], Tensor]) -> Tensor:
        """Run a step, which takes the most pictures to pass through at once, until it fits.

        Raises:
            torch.OutOfMemoryError: it does not fit in any way.
        """
        while True:
            try:
                return step(self.way.at_once)
            except torch.OutOfMemoryError:
                if not self._go_down("out of memory"):
                    raise
            # Out here the error, which held the failed step's tensors, is gone.
            free_unused()

    def paced(self, seconds: float) -> None:
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
        if not self._go_down(cause):
            raise SpilledError(
                f"{cause}; lower train_batch_size or network_dim, or set study.memory_limit"
            )

    def _go_down(self, cause: str) -> bool:
        if self.may_checkpoint and not self.way.checkpoints:
            self._go(replace(self.way, checkpoints=True))
        elif self.way.at_once > 1:
            self._go(replace(self.way, at_once=(self.way.at_once + 1) // 2))
        else:
            return False
        logger.warning("%s; going on with %s", cause, self.way.sentence())
        return True
