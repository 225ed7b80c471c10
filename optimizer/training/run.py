"""One training run, from its first update or from where it was stopped to its last one."""

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.data.samples import BatchPlan
from optimizer.errors import NonFiniteLossError
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import Adapters
from optimizer.training.cost import moment_bytes
from optimizer.training.diffusion import Diffusion
from optimizer.training.lean import make_lean
from optimizer.training.lora_file import lora_file, write_lora
from optimizer.training.lora_metadata import lora_metadata
from optimizer.training.max_norm import limit_norms
from optimizer.training.memory import MemoryLadder, MemoryWay
from optimizer.training.noised import Noised, regrouped
from optimizer.training.optimizers import (
    averaged,
    build_optimizer,
    build_schedule,
    learning_rates,
)
from optimizer.training.postponed import postponed_signals
from optimizer.training.results import Checkpoint, Observe, Report, Step, TrainingData
from optimizer.training.state import (
    StateKeeper,
    TrainingState,
    origin_of,
    random_states,
    restore_random_states,
)
from optimizer.training.validation import validation_losses


class Run:
    """The moving parts of one run: optimizer, schedule, random state, position."""

    def __init__(
        self,
        model: PipelineModel,
        data: TrainingData,
        settings: Hyperparameters,
        adapters: Adapters,
        keeper: StateKeeper,
        observe: Observe,
        way: MemoryWay | None,
    ) -> None:
        self.model, self.data, self.settings, self.adapters = model, data, settings, adapters
        self.keeper, self.observe = keeper, observe
        self.origin = origin_of(model, data)
        self.started = time.time()
        self.checkpoints: list[Checkpoint] = []
        self.accelerator = Accelerator(
            mixed_precision=_precision(settings, model.device),
            gradient_accumulation_steps=settings.gradient_accumulation_steps,
            cpu=model.device.type == "cpu",
        )
        self.diffusion = Diffusion(model, data, settings, self.accelerator)
        plans = data.epoch(1, settings)
        self.memory = MemoryLadder(
            way or _as_set(settings, plans),
            adapters,
            may_checkpoint=settings.gradient_checkpointing == "auto",
        )
        updates = math.ceil(len(plans) / settings.gradient_accumulation_steps)
        self.max_train_steps = updates * settings.max_train_epochs
        self.epoch = self.batches = self.global_step = 0
        make_lean(adapters)
        torch_optimizer = build_optimizer(settings, adapters, model.device)
        self.trained = [p for group in torch_optimizer.param_groups for p in group["params"]]
        schedule = build_schedule(settings, torch_optimizer, self.max_train_steps)
        self.torch_optimizer, self.lr_scheduler = self.accelerator.prepare(
            torch_optimizer, schedule
        )
        self.generator = torch.Generator(model.device).manual_seed(settings.seed)

    def epochs(self, folder: Path, name: str, report: Report) -> bool:
        """Run what is left of the epochs; returns whether `report` ended the run early."""
        last = self.settings.max_train_epochs
        for epoch in range(self.epoch + 1, last + 1):
            self._train(epoch)
            saves = epoch == last or epoch % self.settings.save_every_n_epochs == 0
            # Before the report: a run killed while it is scored comes back to here.
            self.keeper.keep(self.state())
            self.epoch, self.batches = epoch, 0
            if saves:
                self.checkpoints.append(self._checkpoint(folder, name))
                if not report(self.checkpoints[-1]) and epoch != last:
                    return True
                self.keeper.keep(self.state())
        return False

    def confirm(self) -> None:
        """Pass the largest pictures through once, and less of them at once if that does not fit.

        Nothing of it stays but the way; the optimizer's state to come is allowed for.
        """
        before = random_states(self.generator)
        plan = max(self.data.epoch(1, self.settings), key=lambda plan: plan.pixels)
        with self._room([plan]):
            noised = self.diffusion.noised(self.data.load(plan), self.generator)
            copies = math.ceil(self.memory.way.at_once / len(noised))
            room = moment_bytes(self.adapters, self.settings)
            reserved = torch.empty(room, dtype=torch.uint8, device=self.model.device)
            self.memory.fitted(lambda at_once: self._backward([noised] * copies, at_once))
            del reserved
        self.torch_optimizer.zero_grad(set_to_none=False)
        restore_random_states(before, self.generator)

    def _room(self, plans: Sequence[BatchPlan]) -> AbstractContextManager[None]:
        """Networks that rest must have encoded before what is trained on."""
        resting = self.memory.way.resting
        if set(resting) & set(self.model.encoder_names):
            self.data.encode_captions(plans, self.settings)
        return self.model.resting(resting)

    def _train(self, epoch: int) -> None:
        plans = self.data.epoch(epoch, self.settings)
        with self._room(plans):
            self._updates(epoch, plans)

    def _updates(self, epoch: int, plans: Sequence[BatchPlan]) -> None:
        size = self.settings.gradient_accumulation_steps
        whole = True
        try:
            for start in range(self.batches, len(plans), size):
                group = plans[start : start + size]
                with postponed_signals():
                    whole = False
                    step = self._update(epoch, group)
                    self.batches, whole = start + len(group), True
                    self.observe(step)
                if self.keeper.is_due():
                    self.keeper.keep(self.state())
        except KeyboardInterrupt:
            if whole:
                self.keeper.keep(self.state())
            raise

    def _update(self, epoch: int, plans: Sequence[BatchPlan]) -> Step:
        started = time.monotonic()
        batches = (self.data.load(plan) for plan in plans)
        noised = [self.diffusion.noised(batch, self.generator) for batch in batches]
        loss = float(self.memory.fitted(lambda at_once: self._backward(noised, at_once)))
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss became {loss} at step {self.global_step + 1} of {self.max_train_steps}; "
                "lower the learning rate, or use bf16 instead of fp16"
            )
        rates = learning_rates(self.torch_optimizer)
        norm = self._step()
        seconds = time.monotonic() - started
        self.memory.paced(seconds)
        return Step(
            epoch, self.global_step, self.max_train_steps, loss, rates, norm, seconds, _memory()
        )

    def _backward(self, noised: Sequence[Noised], at_once: int) -> Tensor:
        """Gradients of one update; returns its loss, the mean over its batches."""
        self.torch_optimizer.zero_grad(set_to_none=False)
        total = torch.zeros((), device=self.model.device)
        for part in regrouped(noised, at_once):
            # accelerate divides by the accumulation steps, also in a short last group, as
            # sd-scripts does.
            loss = self.diffusion.losses(part).sum()
            self.accelerator.backward(loss)
            total += loss.detach()
        return total / len(noised)

    def _step(self) -> float:
        """Move the weights; returns the norm of the gradients before clipping."""
        limit = self.settings.max_grad_norm or math.inf
        norm = float(self.accelerator.clip_grad_norm_(self.trained, limit))
        self.torch_optimizer.step()
        self.lr_scheduler.step()
        if self.settings.scale_weight_norms is not None:
            limit_norms(self.adapters, self.settings.scale_weight_norms)
        self.global_step += 1
        return norm

    def _checkpoint(self, folder: Path, name: str) -> Checkpoint:
        """Save the LoRA as it is now, and look at pictures it does not train on."""
        settings, family = self.settings, self.model.family
        is_last = self.epoch == settings.max_train_epochs
        path = folder / (
            f"{name}.safetensors" if is_last else f"{name}-{self.epoch:06d}.safetensors"
        )
        layers = int(self.model.pipeline.unet.config.layers_per_block)
        with averaged(self.torch_optimizer), self.adapters.evaluating():
            losses = {str(step): x for step, x in validation_losses(self.diffusion).items()}
            tensors, header = lora_file(family, self.adapters, settings, layers)
        header |= lora_metadata(family, name, settings, self.data.header(settings), self._facts())
        return Checkpoint(
            self.epoch, self.global_step, path, write_lora(path, tensors, header), losses
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "ss_epoch": self.epoch,
            "ss_steps": self.global_step,
            "ss_max_train_steps": self.max_train_steps,
            "ss_training_started_at": f"{self.started:.3f}",
            "ss_training_finished_at": f"{time.time():.3f}",
            "ss_mixed_precision": self.accelerator.mixed_precision,
            # A path may tell whose machine it was.
            "ss_sd_model_name": Path(self.model.name).name,
        }

    def state(self) -> TrainingState:
        """Everything that `restore` needs."""
        scaler = self.accelerator.scaler
        tree = {
            "adapters": self.adapters.state(),
            "optimizer": self.torch_optimizer.state_dict(),
            "schedule": self.lr_scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "memory": self.memory.state(),
            "random": random_states(self.generator),
        }
        kept = [asdict(c) | {"path": c.path.name} for c in self.checkpoints]
        return TrainingState(
            self.settings, self.origin, self.epoch, self.batches, self.global_step, kept, tree
        )

    def restore(self, state: TrainingState, folder: Path) -> None:
        """Go back to where a run with these settings was; its checkpoints lie in `folder`."""
        self.adapters.load(state.tree["adapters"])
        self.torch_optimizer.load_state_dict(state.tree["optimizer"])
        self.lr_scheduler.load_state_dict(state.tree["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.tree["scaler"])
        self.memory.load(state.tree["memory"])
        restore_random_states(state.tree["random"], self.generator)
        self.epoch, self.batches, self.global_step = state.epoch, state.batches, state.global_step
        self.checkpoints = [
            Checkpoint(**(kept | {"path": folder / kept["path"]})) for kept in state.checkpoints
        ]


def _as_set(settings: Hyperparameters, plans: Sequence[BatchPlan]) -> MemoryWay:
    """As the settings have it; nothing rests."""
    largest = max((len(plan.samples) for plan in plans), default=1)
    return MemoryWay(settings.gradient_checkpointing is True, largest)


def _precision(settings: Hyperparameters, device: torch.device) -> str:
    """accelerate's name for the autocast type."""
    if settings.mixed_precision != "auto":
        return settings.mixed_precision
    if device.type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _memory() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
