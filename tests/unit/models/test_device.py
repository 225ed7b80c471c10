"""Devices: what is said where there is no card."""

import logging

import pytest
import torch

from optimizer.models.device import device_held, device_name, limit_memory, memory_held

CPU = torch.device("cpu")


def test_the_cpu_is_named_held_by_all_and_holds_nothing() -> None:
    assert device_name(CPU) == "cpu"
    assert memory_held(CPU) == 0
    with device_held("one", CPU), device_held("other", CPU):
        pass


def test_a_limit_without_a_card_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        limit_memory(CPU, None)
        assert not caplog.records
        limit_memory(CPU, 14.5)
    assert "study.memory_limit has no effect on the CPU" in caplog.text
