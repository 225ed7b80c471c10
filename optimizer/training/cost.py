"""What one training update will take, before any weight is loaded: bytes on the card, operations.

The networks lie on torch's meta device and are run there, forward and backward, as a run would:
every tensor that comes into being is counted while it lives. Operations are torch's own count.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from optimizer.config.training import Hyperparameters, OptimizerType
from optimizer.models.base import Size
from optimizer.models.passes import token_count, unet_pass
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import Adapters, trained_adapters
from optimizer.training.flat import MIN_8BIT_SIZE
from optimizer.training.lean import make_lean

_MOMENT_BYTES: dict[OptimizerType, int] = {
    "AdamW8bit": 2,
    "PagedAdamW8bit": 2,
    "Lion8bit": 1,
    "Lion": 4,
    "AdamW": 8,
    "AdamWScheduleFree": 8,
    "Prodigy": 16,
    "Adafactor": 0,
}
"""Of the optimizer's state, for each trained value; Adafactor's rows and columns are too few."""
_OF_SMALL_ONES = 4
"""Times as much for matrices that 8-bit optimizers keep in 32 bits."""


@dataclass(frozen=True)
class StepCost:
    """Bytes on the card at the peak of an update, by part, and operations of one batch.

    base: the frozen networks. adapter: trained matrices, gradients and the optimizer's state.
    activations: what lies there beyond them while the backward pass runs. The driver's own
    memory, some hundred MiB, and the judge's are in none of them. flops: forward and backward,
    a multiplication and an addition being two.
    """

    base: int
    adapter: int
    activations: int
    flops: int

    @property
    def peak(self) -> int:
        """All parts together."""
        return self.base + self.adapter + self.activations


def step_cost(model: PipelineModel, settings: Hyperparameters, batch: int, size: Size) -> StepCost:
    """Predict an update on a CUDA card in 16 bits.

    Args:
        model: on the meta device.
        batch: pictures that go through the networks at once.
        size: height and width in pixels of the largest bucket.
    """
    base = sum(network_bytes(module) for module in model.modules.values())
    activations = activation_bytes(model, settings, batch, size)
    # Apart: torch's counter keeps tensors alive for longer than they would be.
    with _step(model, settings, batch, size) as step, FlopCounterMode(display=False) as counter:
        step()
    adapter = adapter_bytes(model, settings)
    return StepCost(base, adapter, activations, int(counter.get_total_flops()))


def activation_bytes(
    model: PipelineModel, settings: Hyperparameters, batch: int, size: Size
) -> int:
    """The activations' part of `step_cost` alone; arguments as there."""
    with _step(model, settings, batch, size) as step:
        with (live := _Live(model)):
            step()
        return live.peak - live.first


@contextmanager
def _step(
    model: PipelineModel, settings: Hyperparameters, batch: int, size: Size
) -> Iterator[Callable[[], None]]:
    with torch.device("meta"), trained_adapters(model, settings) as adapters, _as_on_a_card():
        make_lean(adapters)
        for parameter in adapters.parameters():
            parameter.grad = torch.zeros_like(parameter)  # as flat parameters have them
        yield lambda: torch.autograd.backward(_loss(model, adapters, batch, size))


def adapter_bytes(model: PipelineModel, settings: Hyperparameters) -> int:
    """The adapter's part of `step_cost` alone, at once; `model` as there."""
    with torch.device("meta"), trained_adapters(model, settings) as adapters:
        # Matrices and gradients, both float32.
        trained = 2 * sum(p.nbytes for p in adapters.parameters())
        return trained + moment_bytes(adapters, settings)


def moment_bytes(adapters: Adapters, settings: Hyperparameters) -> int:
    """The optimizer's state, which is not there before its first update."""
    return sum(_moments(p.numel(), settings.optimizer_type) for p in adapters.parameters())


def _moments(values: int, optimizer_type: OptimizerType) -> int:
    in_32_bits = optimizer_type.endswith("8bit") and values < MIN_8BIT_SIZE
    return values * _MOMENT_BYTES[optimizer_type] * (_OF_SMALL_ONES if in_32_bits else 1)


def network_bytes(module: torch.nn.Module) -> int:
    """Of its weights."""
    return sum(tensor.nbytes for tensor in module.state_dict().values())


def _loss(model: PipelineModel, adapters: Adapters, batch: int, size: Size) -> Tensor:
    loss: Tensor = (unet_pass(model, batch, size).float() ** 2).mean()
    # Trained text encoders lie in memory beside the UNet's pass until the backward one is over.
    for name, encoder in model.text_encoders.items():
        if name in adapters.modules:
            ids = torch.zeros(batch, token_count(model), dtype=torch.long)
            loss = loss + encoder(input_ids=ids)[0].float().mean()
    return loss


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that come into being, while they live."""

    def __init__(self, model: PipelineModel) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: dict[int, weakref.ref[Any]] = {}
        self.live = self.peak = 0
        for module in model.modules.values():
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            for tensor in (*module.parameters(), *module.buffers(), *gradients):
                self._note(tensor.untyped_storage())
        self.first = self.live
        """What is there from the beginning: gradients, and weights, of which views are made."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return

        def gone(_: Any) -> None:
            del self.known[key]
            self.live -= size

        self.known[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)


@contextmanager
def _as_on_a_card() -> Iterator[None]:
    """What autocast and attention do on CUDA, which torch does on no meta device.

    Matrix products in 16 bits, norms in float32, attention without its matrix of scores.
    """
    low, high = torch.bfloat16, torch.float32
    with ExitStack() as stack:
        for owner, name, kind in (
            *((functional, "linear", low), (functional, "conv2d", low), (torch, "addmm", low)),
            *((functional, "group_norm", high), (functional, "layer_norm", high)),
        ):
            stack.enter_context(patch.object(owner, name, _cast(getattr(owner, name), kind)))
        stack.enter_context(patch.object(functional, "scaled_dot_product_attention", _attention))
        yield


def _cast(function: Callable[..., Any], kind: torch.dtype) -> Callable[..., Any]:
    def cast(value: Any) -> Any:
        is_number = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(kind) if is_number else value

    def run(*args: Any, **named: Any) -> Any:
        return function(*map(cast, args), **{name: cast(value) for name, value in named.items()})

    return run


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
    halves = (tensor.to(torch.bfloat16) for tensor in (query, key, value))
    return torch.ops.aten._scaled_dot_product_flash_attention(*halves)[0]
