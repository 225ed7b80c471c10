"""A run's curves, pictures and settings for TensorBoard; tags are sd-scripts' where it has one."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from optimizer.config.training import Hyperparameters
from optimizer.training.results import Checkpoint, Step

_AVERAGED_STEPS = 100
_GROUPS = {
    "unet": "unet",
    "text_encoder": "textencoder",
    "text_encoder_2": "textencoder_2",
}


class TensorBoard:
    """Writes event files of one run into a folder; a context manager.

    Args:
        resumed_at: updates that were done before; what an earlier process wrote of later ones is
            withdrawn.
    """

    def __init__(self, folder: Path, resumed_at: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge = resumed_at + 1 if folder.exists() else None
        self.writer: Any = SummaryWriter(str(folder), purge_step=purge)
        self.losses: deque[float] = deque(maxlen=_AVERAGED_STEPS)

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.close()

    @property
    def average_loss(self) -> float:
        """Mean over the last hundred updates."""
        return sum(self.losses) / len(self.losses) if self.losses else float("nan")

    def step(self, step: Step) -> None:
        """One update."""
        self.losses.append(step.loss)
        scalars = {
            "loss/current": step.loss,
            "loss/average": self.average_loss,
            "norm/avg_grad_norm": step.grad_norm,
            "time/seconds_per_step": step.seconds,
        }
        for group, rate in step.learning_rates.items():
            scalars[f"lr/{_group(group)}"] = rate
        if step.memory is not None:
            scalars["memory/peak_gib"] = step.memory / 2**30
        self._write(scalars, step.global_step)

    def checkpoint(self, checkpoint: Checkpoint, scores: Mapping[str, float]) -> None:
        """A saved LoRA with what its pictures are worth."""
        scalars = {f"score/{name}": value for name, value in scores.items()}
        if checkpoint.validation_loss is not None:
            scalars["loss/validation/epoch_average"] = checkpoint.validation_loss
            scalars["loss/validation/epoch_divergence"] = (
                checkpoint.validation_loss - self.average_loss
            )
        for timestep, loss in checkpoint.validation_losses.items():
            scalars[f"loss/validation/timestep_{timestep}"] = loss
        self._write(scalars, checkpoint.global_step)
        self.writer.flush()

    def pictures(self, images: Sequence[Image.Image], global_step: int) -> None:
        """What a checkpoint draws, in the order of the prompts."""
        for number, image in enumerate(images):
            pixels = np.asarray(image.convert("RGB"))
            self.writer.add_image(f"samples/{number:03d}", pixels, global_step, dataformats="HWC")
        self.writer.flush()

    def settings(self, settings: Hyperparameters, objective: float) -> None:
        """What was tried and what came of it, for TensorBoard's table of hyperparameters."""
        plain = {k: v for k, v in settings.model_dump().items() if isinstance(v, str | int | float)}
        self.writer.add_hparams(plain, {"objective": objective}, run_name=".")

    def _write(self, scalars: Mapping[str, float], global_step: int) -> None:
        for tag, value in scalars.items():
            self.writer.add_scalar(tag, value, global_step)


def _group(name: str) -> str:
    component, _, rest = name.partition(" ")
    return f"{_GROUPS[component]}_{rest}" if rest else _GROUPS[component]
