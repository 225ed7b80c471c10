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
from optimizer.training.results import Observe, Report, TrainingData, TrainingResult
from optimizer.training.run import Run


class Trainer:
    """Trains one LoRA after another on a base model that stays in memory."""

    def __init__(self, model: PipelineModel, data: TrainingData) -> None:
        self.model = model
        self.data = data

    def train(
        self,
        settings: Hyperparameters,
        folder: Path,
        name: str,
        *,
        state_folder: Path | None = None,
        report: Report = lambda checkpoint: True,
        observe: Observe = lambda step: None,
    ) -> TrainingResult:
        """Train, saving `<name>-<epoch>.safetensors` and at last `<name>.safetensors` in `folder`.

        Args:
            state_folder: where the run's state is kept after each epoch. A run of the same
                settings that ended there before goes on from it, bit for bit; its earlier
                checkpoints are not reported again.

        Raises:
            NonFiniteLossError: as soon as a loss is NaN or infinite.
        """
        started = time.monotonic()
        # Before the adapters: their random initialisation belongs to the trial's seed.
        set_seed(settings.seed)
        with trained_adapters(self.model, settings) as adapters:
            try:
                run = Run(self.model, self.data, settings, adapters, observe, state_folder)
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
        )
