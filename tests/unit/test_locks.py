"""Locks of the whole machine: held by processes, gone with them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.locks import HeldError, held, holder_of, is_held

HOLDING = """
import sys, time
from optimizer.locks import held
with held(sys.argv[1], "study night"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_who_holds_a_lock_is_told(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLDING, "card-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(HeldError, match="study night") as refused, held("card-1", "mine"):
            pass
        holder = refused.value.holder
        assert holder is not None and holder.pid == other.pid
        assert holder_of("card-1") == holder
        with held("card-2", "another card"):
            pass
        other.send_signal(signal.SIGKILL)
    # The note of a killed process stays, its lock does not.
    assert holder_of("card-1") is None
    with held("card-1", "mine"):
        assert is_held("card-1")
    assert not is_held("card-1")


def test_all_users_may_lock(tmp_path: Path) -> None:
    with held("card-1", "mine"):
        folder = tmp_path / "lora-optimizer-locks"
        assert folder.stat().st_mode & 0o777 == 0o777
        assert (folder / "card-1.lock").stat().st_mode & 0o777 == 0o666


def test_patience_waits_for_a_holder_that_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING.replace("60", "0.3"), "card-1"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with held("card-1", "mine", patience=30.0):
            pass
