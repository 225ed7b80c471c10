"""Training LoRAs one after another on a base model that stays in memory.

It knows nothing of the search: `report` is told of every checkpoint and says whether to go on.
"""

import time
from pathlib import Path

from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed

from optimizer.config.training import Hyperparameters
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.memory import MemoryWay
from optimizer.training.results import Observe, Report, TrainingData, TrainingResult
from optimizer.training.run import Run
from optimizer.training.state import StateKeeper, TrainingState, load_state, origin_of

STATE_EVERY_S = 600.0


class Trainer:
    """Trains one LoRA after another on a base model that stays in memory."""

    def __init__(self, model: PipelineModel, data: TrainingData) -> None:
        self.model = model
        self.data = data

    def stopped_at(
        self, settings: Hyperparameters, state_folder: Path | None
    ) -> TrainingState | None:
        """Where a run with these settings would go on; None where it would begin anew."""
        if state_folder is None:
            return None
        return load_state(state_folder, settings, origin_of(self.model, self.data))

    def train(
        self,
        settings: Hyperparameters,
        folder: Path,
        name: str,
        *,
        state_folder: Path | None = None,
        state_every_s: float = STATE_EVERY_S,
        way: MemoryWay | None = None,
        report: Report = lambda checkpoint: True,
        observe: Observe = lambda step: None,
    ) -> TrainingResult:
        """Train, saving `<name>-<epoch>.safetensors` and at last `<name>.safetensors` in `folder`.

        Args:
            state_folder: where the run's state is kept. A run of the same settings, base model
                and pictures that ended there before goes on from it, bit for bit; its earlier
                checkpoints are not reported again.
            state_every_s: seconds after which the state is kept in the middle of an epoch too.
            way: how to fit the card, confirmed by one step before the first; as the settings
                have it, and only less where memory is out, if None.

        Raises:
            NonFiniteLossError: as soon as a loss is NaN or infinite.
        """
        started = time.monotonic()
        # Before the adapters: their random initialisation belongs to the trial's seed.
        set_seed(settings.seed)
        with trained_adapters(self.model, settings) as adapters:
            try:
                keeper = StateKeeper(state_folder, state_every_s)
                run = Run(self.model, self.data, settings, adapters, keeper, observe, way)
                if state := self.stopped_at(settings, state_folder):
                    run.restore(state, folder)
                elif way is not None:
                    run.confirm()
                stopped = run.epochs(folder, name, report)
            finally:
                # accelerate keeps its settings for the process; the next trial has others.
                AcceleratorState._reset_state(reset_partial_state=True)
                GradientState._reset_state()
        return TrainingResult(
            tuple(run.checkpoints),
            run.global_step,
            run.max_train_steps,
            stopped,
            time.monotonic() - started,
            run.memory.way,
        )
