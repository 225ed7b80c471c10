"""The training loop: pictures, captions and hyperparameters to LoRA files.

It knows nothing of the search: `report` is told of every checkpoint and says whether to go on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader

from optimizer.config.training import Hyperparameters
from optimizer.data.latents import Batch
from optimizer.errors import NonFiniteLossError
from optimizer.models.base import PictureSizes, PromptEmbeds
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import Adapters, trained_adapters
from optimizer.training.lora_file import lora_metadata, lora_tensors, write_lora
from optimizer.training.loss import (
    min_snr_weights,
    per_picture_loss,
    sample_noise,
    sample_timesteps,
    signal_to_noise,
    target_of,
    training_scheduler,
)
from optimizer.training.optimizers import build_optimizer, build_schedule


@dataclass(frozen=True)
class Checkpoint:
    """One saved LoRA of a run."""

    epoch: int
    global_step: int
    path: Path
    sha256: str


@dataclass(frozen=True)
class Step:
    """What happened in one update. Loss is the mean over its micro-batches; seconds are its own."""

    epoch: int
    global_step: int
    max_train_steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """What a run left behind."""

    checkpoints: tuple[Checkpoint, ...]
    global_step: int
    max_train_steps: int
    stopped_early: bool
    seconds: float


class TrainingData(Protocol):
    """Where batches come from."""

    def epoch(self, epoch: int, settings: Hyperparameters) -> Sequence[Any]:
        """The batch plans of an epoch, in training order; the same for the same seed."""

    def load(self, plan: Any) -> Batch:
        """Latents and captions of one batch."""

    def embeds(self, captions: Sequence[str], settings: Hyperparameters) -> PromptEmbeds:
        """Embeddings of captions by the frozen text encoders."""


Report = Callable[[Checkpoint], bool]
Observe = Callable[[Step], None]


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
        report: Report = lambda checkpoint: True,
        observe: Observe = lambda step: None,
    ) -> TrainingResult:
        """Train, saving `<name>-<epoch>.safetensors` and at last `<name>.safetensors` in `folder`.

        Raises:
            NonFiniteLossError: as soon as a loss is NaN or infinite.
        """
        started = time.monotonic()
        # Before the adapters: their random initialisation belongs to the trial's seed.
        set_seed(settings.seed)
        with trained_adapters(self.model, settings) as adapters:
            try:
                run = _Run(self.model, self.data, settings, adapters, observe)
                checkpoints, stopped = run.epochs(folder, name, report)
            finally:
                # accelerate keeps its settings for the process; the next trial has others.
                AcceleratorState._reset_state(reset_partial_state=True)
                GradientState._reset_state()
        return TrainingResult(
            tuple(checkpoints),
            run.global_step,
            run.max_train_steps,
            stopped,
            time.monotonic() - started,
        )


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        model: PipelineModel,
        data: TrainingData,
        settings: Hyperparameters,
        adapters: Adapters,
        observe: Observe,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.adapters, self.observe = adapters, observe
        self.accelerator = Accelerator(
            mixed_precision=_precision(settings, model.device),
            gradient_accumulation_steps=settings.gradient_accumulation_steps,
            cpu=model.device.type == "cpu",
        )
        micro_batches = len(data.epoch(1, settings))
        updates = math.ceil(micro_batches / settings.gradient_accumulation_steps)
        self.max_train_steps = updates * settings.max_train_epochs
        self.global_step = 0
        torch_optimizer = build_optimizer(settings, adapters, model.device)
        schedule = build_schedule(settings, torch_optimizer, self.max_train_steps)
        self.torch_optimizer, self.lr_scheduler = self.accelerator.prepare(
            torch_optimizer, schedule
        )
        self.noise_scheduler = training_scheduler(dict(model.pipeline.scheduler.config))
        self.generator = torch.Generator(model.device).manual_seed(settings.seed)
        self.parameters = [p for name in adapters.modules for p in adapters.parameters(name)]

    def epochs(self, folder: Path, name: str, report: Report) -> tuple[list[Checkpoint], bool]:
        """Run all epochs; returns the checkpoints and whether `report` ended the run early."""
        checkpoints: list[Checkpoint] = []
        last = self.settings.max_train_epochs
        for epoch in range(1, last + 1):
            self._epoch(epoch)
            if epoch % self.settings.save_every_n_epochs and epoch != last:
                continue
            file = f"{name}.safetensors" if epoch == last else f"{name}-{epoch:06d}.safetensors"
            checkpoints.append(self._save(folder / file, name, epoch))
            if not report(checkpoints[-1]) and epoch != last:
                return checkpoints, True
        return checkpoints, False

    def _epoch(self, epoch: int) -> None:
        losses: list[Tensor] = []
        started = time.monotonic()
        for batch in self._batches(epoch):
            with self.accelerator.accumulate(self.adapters.modules["unet"]):
                loss = self._loss(batch)
                losses.append(loss.detach())
                self.accelerator.backward(loss)
                if not self.accelerator.sync_gradients:
                    continue
                step = self._update(epoch, torch.stack(losses).mean().item(), started)
            losses, started = [], time.monotonic()
            self.observe(step)

    def _batches(self, epoch: int) -> Any:
        """accelerate's loader knows the epoch's end, where a short last group must still update."""
        plans = list(self.data.epoch(epoch, self.settings))
        loader: Any = DataLoader(
            plans,  # type: ignore[arg-type]  # a list of plans is dataset enough
            batch_size=1,
            collate_fn=lambda one: self.data.load(one[0]),
        )
        return self.accelerator.prepare_data_loader(loader, device_placement=False)

    def _update(self, epoch: int, loss: float, started: float) -> Step:
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss became {loss} at step {self.global_step + 1} of {self.max_train_steps}; "
                "lower the learning rate, or use bf16 instead of fp16"
            )
        norm = self._clip()
        rate = self.lr_scheduler.get_last_lr()[0]
        self.torch_optimizer.step()
        self.lr_scheduler.step()
        self.torch_optimizer.zero_grad()
        self.global_step += 1
        seconds = time.monotonic() - started
        return Step(epoch, self.global_step, self.max_train_steps, loss, rate, norm, seconds)

    def _clip(self) -> float:
        """Norm of the gradients before clipping; a limit of 0 only measures."""
        limit = self.settings.max_grad_norm or math.inf
        return float(self.accelerator.clip_grad_norm_(self.parameters, limit))

    def _loss(self, batch: Batch) -> Tensor:
        device, settings = self.model.device, self.settings
        latents = batch.latents.to(device) * self.model.scaling_factor
        noise = sample_noise(latents, self.generator, settings.noise_offset)
        count = self.noise_scheduler.config.num_train_timesteps
        timesteps = sample_timesteps(len(latents), count, self.generator)
        noisy = self.noise_scheduler.add_noise(latents, noise, timesteps)
        prediction = self._predict(noisy, timesteps, batch)
        target = target_of(self.noise_scheduler, latents, noise, timesteps)
        masks = None if batch.masks is None else batch.masks.to(device)
        losses = per_picture_loss(prediction, target, masks) * batch.loss_weights.to(device)
        if settings.min_snr_gamma is not None:
            snr = signal_to_noise(self.noise_scheduler, timesteps)
            kind = self.noise_scheduler.config.prediction_type
            losses = losses * min_snr_weights(snr, settings.min_snr_gamma, kind)
        return losses.mean()

    def _predict(self, noisy: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        with self.accelerator.autocast():
            conditions = self.model.unet_conditions(self._embeds(batch), _sizes(batch))
            noisy = noisy.to(self.model.dtype)
            prediction: Tensor = self.model.pipeline.unet(noisy, timesteps, **conditions).sample
        return prediction

    def _embeds(self, batch: Batch) -> PromptEmbeds:
        if not self.settings.trains_text_encoders:
            return self.data.embeds(batch.captions, self.settings)
        return self.model.encode_prompts(
            list(batch.captions),
            max_token_length=self.settings.max_token_length,
            clip_skip=self.settings.clip_skip,
        )

    def _save(self, path: Path, name: str, epoch: int) -> Checkpoint:
        layers = int(self.model.pipeline.unet.config.layers_per_block)
        tensors = lora_tensors(self.model.family, self.adapters.state(), self.settings, layers)
        metadata = lora_metadata(self.model.family, name, self.settings)
        metadata |= {"ss_epoch": str(epoch), "ss_steps": str(self.global_step)}
        return Checkpoint(epoch, self.global_step, path, write_lora(path, tensors, metadata))


def _sizes(batch: Batch) -> list[PictureSizes]:
    rows = zip(batch.original_sizes, batch.crops_top_left, batch.target_sizes, strict=True)
    return [PictureSizes(*row) for row in rows]


def _precision(settings: Hyperparameters, device: torch.device) -> str:
    """accelerate's name for the autocast type."""
    if settings.mixed_precision != "auto":
        return settings.mixed_precision
    if device.type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
