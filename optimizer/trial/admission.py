"""Fitting a trial to the card before it is trained, or refusing it."""

import logging
from collections.abc import Sequence

import torch

from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.records import Record
from optimizer.data.samples import largest_bucket
from optimizer.errors import TooLargeError
from optimizer.models.device import GIB, memory_held
from optimizer.models.shapes import shapes_of
from optimizer.training.forecast import Forecast, idle_networks, pictures_per_update, ways
from optimizer.training.memory import MemoryWay

logger = logging.getLogger(__name__)

HEADROOM = 0.9
"""Share of the limit that a way may be predicted to take: predictions err, memory is in pieces."""


class Admission:
    """Predicts what a trial takes of a card, in the fastest way that fits and in the most frugal.

    A run that is out of memory goes down to the most frugal by itself: what does not fit that way
    does not fit at all.
    """

    def __init__(
        self, config: StudyConfig, records: Sequence[Record], held: int, limit: int
    ) -> None:
        """Look at the base model's shapes.

        Args:
            held: bytes on the card before a trial: the base model and the judge.
            limit: bytes that there may be.
        """
        self.chooses = config.study.memory == "auto"
        self.records, self.held, self.limit = records, held, limit
        self.forecast = Forecast(shapes_of(config.model), largest_bucket(records))

    def way(self, settings: Hyperparameters) -> MemoryWay | None:
        """The fastest way that is predicted to fit; None where the study leaves it as it is set.

        Raises:
            TooLargeError: a trial with these settings fits in no way.
        """
        idle = idle_networks(self.forecast.shapes, settings, self.records) if self.chooses else ()
        options = list(ways(settings, pictures_per_update(settings, self.records), idle))
        self._refuse(self.needed(settings, options[-1]))
        if not self.chooses:
            return None
        most = HEADROOM * self.limit
        way = next((w for w in options if self.needed(settings, w) <= most), options[-1])
        needed, limit = self.needed(settings, way) / GIB, self.limit / GIB
        logger.info("%s: predicted %.2f of %.2f GiB", way.sentence(), needed, limit)
        return way

    def needed(self, settings: Hyperparameters, way: MemoryWay) -> int:
        """Bytes of the card at the peak of a trial."""
        return self.held + self.forecast.beside(settings, way)

    def _refuse(self, needed: int) -> None:
        if needed > self.limit:
            raise TooLargeError(
                f"at least {needed / GIB:.2f} GiB are needed, but the limit is "
                f"{self.limit / GIB:.2f}, and the base model and the judge alone take "
                f"{self.held / GIB:.2f}; lower network_dim or conv_dim, or turn "
                "gradient_checkpointing on"
            )


def admission_on(
    device: torch.device, config: StudyConfig, records: Sequence[Record]
) -> Admission | None:
    """The admission to a card as it is now; None on the CPU, which is for trying out."""
    if device.type != "cuda":
        return None
    share = torch.cuda.get_per_process_memory_fraction(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return Admission(config, records, memory_held(device), int(share * total))
