"""The store survives damage, kills, two writers and full disks."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from optimizer.data.cache import TensorStore, digest
from optimizer.errors import InputError

KEY = digest({"a": 1})


def test_round_trip(tmp_path: Path) -> None:
    store = TensorStore(tmp_path / "cache")
    assert store.get(KEY) is None
    tensors = {
        "whole": torch.randn(2, 3),
        "half": torch.randn(4).bfloat16(),
        "view": torch.randn(4, 4).T,
    }
    store.put(KEY, tensors)
    found = TensorStore(tmp_path / "cache").get(KEY)
    assert found is not None
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert found["half"].dtype == torch.bfloat16
    store.put(KEY, {"whole": torch.zeros(1)})
    assert store.get(KEY) == {"whole": torch.zeros(1)}


def test_keys_follow_content_not_order() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(KEY) == 64


@pytest.mark.parametrize("kind", ["cut", "empty", "zeros", "flipped", "header", "text"])
def test_a_damaged_file_counts_as_missing(kind: str, tmp_path: Path) -> None:
    store = TensorStore(tmp_path)
    store.put(KEY, {"a": torch.ones(100)})
    (path,) = tmp_path.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    damaged = {
        "cut": data[:-10],
        "empty": b"",
        "zeros": bytes(len(data)),
        "flipped": data[:-1] + bytes([data[-1] ^ 1]),
        "header": data.replace(b"[100]", b"[999]"),
        "text": b"not a tensor file, but long enough to have a header",
    }[kind]
    path.write_bytes(bytes(damaged))
    assert store.get(KEY) is None
    store.put(KEY, {"a": torch.ones(100)})
    assert store.get(KEY) is not None


def _write_forever(root: Path, value: float) -> None:
    store = TensorStore(root)
    while True:
        store.put(KEY, {"a": torch.full((20_000,), value)})


def test_readers_see_whole_files_while_writers_race_and_die(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_forever, args=(tmp_path, v)) for v in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    store = TensorStore(tmp_path)
    try:
        found: list[float] = []
        deadline = time.monotonic() + 60
        while (len(found) < 300 or len(set(found)) < 2) and time.monotonic() < deadline:
            tensors = store.get(KEY)
            assert tensors is not None or not found
            if tensors is not None:
                (value,) = set(tensors["a"].tolist())
                found.append(value)
        assert set(found) == {1.0, 2.0}
    finally:
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
    assert store.get(KEY) is not None


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("no folder")
    store = TensorStore(root)
    assert store.get(KEY) is None
    with pytest.raises(InputError, match=f"{root}: cache cannot be written: "):
        store.put(KEY, {"a": torch.ones(1)})


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TensorStore(tmp_path)
    store.put(KEY, {"a": torch.ones(1)})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device; free space"):
        store.put(KEY, {"a": torch.zeros(1)})
    assert store.get(KEY) == {"a": torch.ones(1)}
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]
