"""Workers behind Optuna's gRPC proxy, which `optimizer proxy` serves."""

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from optimizer.config.study import StudyConfig
from optimizer.errors import StorageError
from optimizer.report.dashboard import dashboard_server
from optimizer.report.proxy import serve
from optimizer.storage.database import open_storage, storage_url
from optimizer.storage.proxy import is_proxy
from optimizer.study.loop import StudyResult
from optimizer.study.open import load_existing
from optimizer.study.results import counted_trials

Make = Callable[..., StudyConfig]
Run = Callable[..., StudyResult]


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """`optimizer proxy` in a process of its own."""

    def __init__(self, study: Path, port: int) -> None:
        self.url, self.study, self.port = f"grpc://localhost:{port}", study, port
        self.start()

    def start(self) -> None:
        arguments = ("proxy", str(self.study), "--port", str(self.port))
        command = [sys.executable, "-m", "optimizer.cli.main", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert f'storage = "{self.url}"' in self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def proxy(make_study: Make, postgres_database: str, port: int) -> Iterator[Proxy]:
    """A proxy before PostgreSQL."""
    path = make_study(storage=postgres_database).path
    served = shutil.copy(path, path.with_name("served.toml"))
    serving = Proxy(served, port)
    yield serving
    serving.kill()


def test_a_study_is_run_through_a_proxy(
    make_study: Make, run_values: Run, proxy: Proxy, postgres_database: str
) -> None:
    config = make_study(storage=proxy.url)
    seeds = [{"learning_rate": 1e-3, "network_dim": 8}]
    result = run_values(config, [0.2, None, 0.4], seeds=seeds)
    assert result.best is not None
    assert result.best.number == 2
    # The same trials, seen in the database itself.
    behind = load_existing(make_study(storage=postgres_database))
    assert [trial.value for trial in counted_trials(behind)] == [0.2, 0.0, 0.4]
    assert behind.trials[0].params["learning_rate"] == 1e-3
    assert run_values(config, n_trials=4).new_trials == 1


def test_a_proxy_that_is_not_there_is_said(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.storage.proxy._PATIENCE_SECONDS", 0.2)
    with pytest.raises(StorageError, match=f"grpc://localhost:{port}: no proxy answers"):
        open_storage(storage_url(tmp_path, f"grpc://localhost:{port}"))


def test_a_proxy_that_is_started_again_gets_the_result(
    make_study: Make, run_values: Run, proxy: Proxy
) -> None:
    def during(trial: optuna.Trial, count: int) -> None:
        if count == 0:
            proxy.kill()
            restart.start()

    restart = threading.Timer(0.5, proxy.start)
    study = run_values(make_study(storage=proxy.url), [0.2, 0.3, 0.4], during=during).study
    assert [trial.value for trial in study.trials] == [0.2, 0.3, 0.4]


def test_a_proxy_of_a_proxy_and_its_dashboard_are_refused(make_study: Make) -> None:
    config = make_study(storage="grpc://localhost:1")
    assert is_proxy(storage_url(config.folder, config.study.storage))
    with pytest.raises(StorageError, match="is a proxy already"):
        serve(config, "localhost", 13000)
    with pytest.raises(StorageError, match="reads the database itself, not the proxy"):
        dashboard_server(config, 0)
