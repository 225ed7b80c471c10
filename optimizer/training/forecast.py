"""Which ways of training fit a card, predicted from the base model's shapes before any step."""

from collections.abc import Iterator, Sequence

from optimizer.config.training import Hyperparameters
from optimizer.data.records import Record
from optimizer.models.base import Size
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.cost import activation_bytes, adapter_bytes, network_bytes
from optimizer.training.memory import MemoryWay


class Forecast:
    """Bytes of a card that a trial takes, by part; what was computed once is remembered."""

    def __init__(self, shapes: PipelineModel, size: Size) -> None:
        """shapes: the base model on the meta device. size: of the largest bucket."""
        self.shapes, self.size = shapes, size
        self._activations: dict[object, int] = {}
        self._adapters: dict[str, int] = {}

    def beside(self, settings: Hyperparameters, way: MemoryWay) -> int:
        """What a trial adds to a card that holds the base model; negative where it makes room."""
        return self.adapter(settings) + self.activations(settings, way) - self.resting(way)

    def adapter(self, settings: Hyperparameters) -> int:
        """Trained matrices, gradients and the optimizer's state."""
        key = settings.model_dump_json()
        if key not in self._adapters:
            self._adapters[key] = adapter_bytes(self.shapes, settings)
        return self._adapters[key]

    def resting(self, way: MemoryWay) -> int:
        """What networks leave free that wait in host memory."""
        return sum(network_bytes(self.shapes.modules[name]) for name in way.resting)

    def activations(self, settings: Hyperparameters, way: MemoryWay) -> int:
        """Of the first settings of a kind that are asked for: ranks hardly matter to them."""
        parts = (settings.targets, settings.conv_dim is None, settings.use_dora)
        key = (way.checkpoints, settings.trains_text_encoders, parts)
        if key not in self._activations:
            chosen = settings.model_copy(update={"gradient_checkpointing": way.checkpoints})
            self._activations[key] = activation_bytes(self.shapes, chosen, 1, self.size)
        # A little too much: what a picture needs besides hardly counts.
        return way.at_once * self._activations[key]


def ways(settings: Hyperparameters, pictures: int, idle: Sequence[str] = ()) -> Iterator[MemoryWay]:
    """From the fastest to the most frugal.

    Networks that nobody needs go first: moving them costs a moment an epoch. Half of the pictures
    at once costs less than checkpointing, which computes a third more; fewer may not.

    Args:
        pictures: of one update.
        idle: networks that a run can do without between its checkpoints.
    """
    wanted, counts = settings.gradient_checkpointing, [pictures]
    while counts[-1] > 1:
        counts.append((counts[-1] + 1) // 2)
    kept = {True: [], False: counts, "auto": counts[:2]}[wanted]
    saved = [] if wanted is False else counts
    for checkpoints, choices in ((False, kept), (True, saved)):
        for at_once in choices:
            yield MemoryWay(checkpoints, at_once)
            if idle:
                yield MemoryWay(checkpoints, at_once, tuple(idle))


def idle_networks(
    model: PipelineModel, settings: Hyperparameters, records: Sequence[Record]
) -> tuple[str, ...]:
    """What training can do without once pictures and captions are encoded."""
    subsets = [record.subset for record in records]
    vae = () if any(s.color_aug or s.random_crop for s in subsets) else ("vae",)
    return (*vae, *(() if settings.trains_text_encoders else model.encoder_names))


def pictures_per_update(settings: Hyperparameters, records: Sequence[Record]) -> int:
    """Most of them: batches have the datasets' own size where the settings give none."""
    batch = settings.train_batch_size or max(record.dataset.batch_size for record in records)
    return batch * settings.gradient_accumulation_steps
