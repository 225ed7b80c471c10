"""Which attention is chosen, on devices that are here and on ones that are made up."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from optimizer.errors import ModelError
from optimizer.models.attention import apply_attention, choose_attention, xformers_problem

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def install_xformers(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> list[Any]:
    """An xformers whose attention raises this, or runs; returns the inputs it was given."""
    asked: list[Any] = []

    def attention(*inputs: torch.Tensor) -> None:
        asked.extend(inputs)
        if error is not None:
            raise error

    package, ops = ModuleType("xformers"), ModuleType("xformers.ops")
    ops.memory_efficient_attention = attention  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    return asked


def uninstall_xformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xformers", None)


def set_capability(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


def test_auto_is_sdpa_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = install_xformers(monkeypatch)
    assert choose_attention("auto", CPU) == "sdpa"
    assert asked == []


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_sdpa_needs_no_look_at_the_device(device: torch.device) -> None:
    assert choose_attention("sdpa", device) == "sdpa"


def test_xformers_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall_xformers(monkeypatch)
    with pytest.raises(ModelError) as error:
        choose_attention("xformers", CPU)
    assert str(error.value) == (
        'attention = "xformers" cannot be used on cpu: xformers is not installed; '
        'set attention = "sdpa" or "auto"'
    )


def test_xformers_that_does_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word what xformers says on a CPU."""
    reason = "No operator found for `memory_efficient_attention_forward`"
    error = NotImplementedError(f"{reason} with inputs:\n     query : shape=(1, 8, 1, 32)\n")
    install_xformers(monkeypatch, error)
    assert xformers_problem(CPU) == reason
    with pytest.raises(ModelError, match=rf"cannot be used on cpu: {reason}; set attention"):
        choose_attention("xformers", CPU)


def test_xformers_error_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    install_xformers(monkeypatch, NotImplementedError())
    assert xformers_problem(CPU) == "NotImplementedError"


def test_xformers_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built for another torch: installed, and of no use."""

    class Broken:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name.startswith("xformers"):
                raise ImportError("libcudart.so.12: cannot open shared object file")

    for name in [n for n in sys.modules if n.partition(".")[0] == "xformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    problem = xformers_problem(CPU)
    assert problem is not None
    assert problem.startswith("xformers is installed but cannot be imported (libcudart.so.12")


def test_xformers_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = install_xformers(monkeypatch)
    assert choose_attention("xformers", CPU) == "xformers"
    assert [tensor.shape for tensor in asked] == [(1, 8, 1, 32)] * 3


def test_auto_from_ampere_on_is_sdpa_without_trying_xformers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = install_xformers(monkeypatch)
    set_capability(monkeypatch, (8, 0))
    assert choose_attention("auto", CUDA) == "sdpa"
    assert asked == []


def test_auto_before_ampere_takes_xformers_only_when_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_capability(monkeypatch, (7, 5))
    # The query goes to a CUDA device, which need not be here.
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device, **more: zeros(*size, **more))
    install_xformers(monkeypatch)
    assert choose_attention("auto", CUDA) == "xformers"
    install_xformers(monkeypatch, RuntimeError("no kernel image is available"))
    assert choose_attention("auto", CUDA) == "sdpa"
    uninstall_xformers(monkeypatch)
    assert choose_attention("auto", CUDA) == "sdpa"


def test_only_xformers_changes_the_pipeline() -> None:
    class Unet:
        enabled = 0

        def enable_xformers_memory_efficient_attention(self) -> None:
            self.enabled += 1

    class Pipeline:
        unet = Unet()

    apply_attention(Pipeline(), "sdpa")
    assert Pipeline.unet.enabled == 0
    apply_attention(Pipeline(), "xformers")
    assert Pipeline.unet.enabled == 1
