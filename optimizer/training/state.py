"""Everything a run needs to go on bit for bit after it was killed.

Written between two updates; what came after is computed again, to the same numbers. No pickle:
tensors lie in safetensors, the rest as JSON in the same file's header.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.files import write_bytes
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.results import TrainingData

STATE_FILE = "state.safetensors"
_HEADER = "state"
_TENSOR, _PAIRS, _TUPLE = "tensor", "pairs", "tuple"


@dataclass(frozen=True)
class TrainingState:
    """A run between two updates.

    origin: names base model and pictures; a run on others is another run. epoch: the last one
    that is done. batches: how many of the next one are done. tree: nested dicts, lists and tuples
    of plain values and tensors: adapters, optimizer, schedule, scaler, random states.
    """

    settings: Hyperparameters
    origin: str
    epoch: int
    batches: int
    global_step: int
    checkpoints: list[dict[str, Any]]
    tree: dict[str, Any]


class StateKeeper:
    """Where a run's state is kept, and when; nowhere if there is no folder.

    every_s: seconds of training after which it is kept in the middle of an epoch.
    """

    def __init__(self, folder: Path | None, every_s: float) -> None:
        self.folder, self.every_s = folder, every_s
        self.kept_at = time.monotonic()

    def keep(self, state: TrainingState) -> None:
        """Write it now."""
        if self.folder is not None:
            save_state(self.folder, state)
        self.kept_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether losing what was trained since the last time would hurt."""
        return self.folder is not None and time.monotonic() - self.kept_at >= self.every_s


def origin_of(model: PipelineModel, data: TrainingData) -> str:
    """Names base model and pictures by their content."""
    return f"{model.identity_of('unet')} {data.digest}"


def save_state(folder: Path, state: TrainingState) -> None:
    """Replace the state in a folder, atomically."""
    tensors: dict[str, Tensor] = {}
    facts = {
        "settings": state.settings.model_dump(mode="json"),
        "origin": state.origin,
        "epoch": state.epoch,
        "batches": state.batches,
        "global_step": state.global_step,
        "checkpoints": state.checkpoints,
        "tree": _packed(state.tree, tensors),
    }
    write_bytes(folder / STATE_FILE, save(tensors, {_HEADER: json.dumps(facts)}))


def load_state(folder: Path, settings: Hyperparameters, origin: str) -> TrainingState | None:
    """The state in a folder, or None when there is none, it is damaged or of another run."""
    try:
        with safe_open(folder / STATE_FILE, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_HEADER])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None
    if facts["settings"] != settings.model_dump(mode="json") or facts["origin"] != origin:
        return None
    facts |= {"settings": settings, "tree": _unpacked(facts["tree"], tensors)}
    return TrainingState(**facts)


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """As JSON, tensors replaced by their names; dicts as pairs, because their keys may be ints."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        return {_PAIRS: [[key, _packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [_packed(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_packed(item, tensors) for item in value]
    return value


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _TUPLE in value:
        return tuple(_unpacked(item, tensors) for item in value[_TUPLE])
    return {key: _unpacked(item, tensors) for key, item in value[_PAIRS]}


def random_states(generator: torch.Generator) -> dict[str, Any]:
    """The run's own generator and torch's global ones, which dropout draws from."""
    states: dict[str, Any] = {"own": generator.get_state(), "cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: Mapping[str, Any], generator: torch.Generator) -> None:
    """The reverse of `random_states`."""
    generator.set_state(states["own"])
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
