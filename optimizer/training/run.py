"""One training run: the loop over epochs and batches, its checkpoints and its state."""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from optimizer.config.training import Hyperparameters
from optimizer.data.latents import Batch
from optimizer.errors import NonFiniteLossError
from optimizer.models.base import PictureSizes, PromptEmbeds
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import Adapters
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
from optimizer.training.results import Checkpoint, Observe, Report, Step, TrainingData
from optimizer.training.state import (
    TrainingState,
    load_state,
    random_states,
    restore_random_states,
    save_state,
)


class Run:
    """The state of one training run."""

    def __init__(
        self,
        model: PipelineModel,
        data: TrainingData,
        settings: Hyperparameters,
        adapters: Adapters,
        observe: Observe,
        state_folder: Path | None,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.adapters, self.observe, self.state_folder = adapters, observe, state_folder
        self.checkpoints: list[Checkpoint] = []
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

    def epochs(self, folder: Path, name: str, report: Report) -> bool:
        """Run what is left of the epochs; returns whether `report` ended the run early."""
        last = self.settings.max_train_epochs
        for epoch in range(self._resume(folder) + 1, last + 1):
            self._epoch(epoch)
            if epoch == last or epoch % self.settings.save_every_n_epochs == 0:
                file = f"{name}.safetensors" if epoch == last else f"{name}-{epoch:06d}.safetensors"
                self.checkpoints.append(self._save(folder / file, name, epoch))
                if not report(self.checkpoints[-1]) and epoch != last:
                    return True
            # After the report: a run killed while it is scored comes back to this epoch.
            self._save_state(epoch)
        return False

    def _save_state(self, epoch: int) -> None:
        if self.state_folder is None:
            return
        tree = {
            "adapters": self.adapters.state(),
            "optimizer": self.torch_optimizer.state_dict(),
            "schedule": self.lr_scheduler.state_dict(),
            "scaler": None
            if self.accelerator.scaler is None
            else self.accelerator.scaler.state_dict(),
            "random": random_states(self.generator),
        }
        kept = [asdict(c) | {"path": c.path.name} for c in self.checkpoints]
        state = TrainingState(self.settings, epoch, self.global_step, kept, tree)
        save_state(self.state_folder, state)

    def _resume(self, folder: Path) -> int:
        """Take up a state if there is one; returns the last epoch that is done."""
        state = None if self.state_folder is None else load_state(self.state_folder, self.settings)
        if state is None:
            return 0
        self.adapters.load(state.tree["adapters"])
        self.torch_optimizer.load_state_dict(state.tree["optimizer"])
        self.lr_scheduler.load_state_dict(state.tree["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.tree["scaler"])
        restore_random_states(state.tree["random"], self.generator)
        self.global_step = state.global_step
        self.checkpoints = [
            Checkpoint(**(kept | {"path": folder / kept["path"]})) for kept in state.checkpoints
        ]
        return state.epoch

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
