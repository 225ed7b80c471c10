"""Refusing, before it is trained, what cannot fit the card however a run may save memory."""

from collections.abc import Sequence

import torch

from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.records import Record
from optimizer.data.samples import largest_bucket
from optimizer.errors import TooLargeError
from optimizer.models.device import GIB, memory_held
from optimizer.models.shapes import shapes_of
from optimizer.training.cost import adapter_bytes, step_cost


class Admission:
    """Predicts the least that a trial needs: one picture at a time, checkpointed where it may be.

    A run that is out of memory goes that far down by itself, so nothing more frugal is left to it.
    """

    def __init__(
        self, model: ModelConfig, records: Sequence[Record], held: int, limit: int
    ) -> None:
        """Look at the base model's shapes.

        Args:
            held: bytes on the card before a trial: the base model and the judge.
            limit: bytes that there may be.
        """
        self.shapes, self.size = shapes_of(model), largest_bucket(records)
        self.held, self.limit = held, limit
        self._activations: dict[bool, int] = {}

    def check(self, settings: Hyperparameters) -> None:
        """Raises TooLargeError when a trial with these settings cannot fit."""
        adapter, activations = self.least(settings)
        needed = self.held + adapter + activations
        if needed > self.limit:
            raise TooLargeError(
                f"at least {needed / GIB:.2f} GiB are needed, {self.held / GIB:.2f} of them by the "
                f"base model and the judge, {adapter / GIB:.2f} by the adapter, but the limit is "
                f"{self.limit / GIB:.2f}; lower network_dim or conv_dim, or turn "
                "gradient_checkpointing on"
            )

    def least(self, settings: Hyperparameters) -> tuple[int, int]:
        """Bytes of the adapter, and of the fewest activations."""
        return adapter_bytes(self.shapes, settings), self._least_activations(settings)

    def _least_activations(self, settings: Hyperparameters) -> int:
        """Of the first settings that are asked for: ranks hardly matter to them."""
        checkpointed = settings.gradient_checkpointing is not False
        if checkpointed not in self._activations:
            frugal = settings.model_copy(update={"gradient_checkpointing": checkpointed})
            self._activations[checkpointed] = step_cost(
                self.shapes, frugal, 1, self.size
            ).activations
        return self._activations[checkpointed]


def admission_on(
    device: torch.device, model: ModelConfig, records: Sequence[Record]
) -> Admission | None:
    """The admission to a card as it is now; None on the CPU, which is for trying out."""
    if device.type != "cuda":
        return None
    share = torch.cuda.get_per_process_memory_fraction(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return Admission(model, records, memory_held(device), int(share * total))
