"""Small studies in a real SQLite file and a real PostgreSQL."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from optimizer.config.study import StudyConfig, load_study

Make = Callable[..., StudyConfig]

STUDY = """
[study]
name = "small"
n_trials = {n_trials}
search_space = "space.toml"
output_dir = "runs"
sampler = "{sampler}"
{storage}
[model]
family = "sdxl"
pretrained_model_name_or_path = "some/model"
[scoring]
clip_model = "some/clip"
trigger = "mivo"
class_word = "monster"
prompts = ["{{trigger}} {{class}}"]
[dataset]
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


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str | None:
    """A database URL of its own for each test; None is the SQLite file in the study's folder."""
    if request.param == "sqlite":
        return None
    server = str(request.getfixturevalue("postgres_url"))
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def make_study(tmp_path: Path) -> Make:
    def make(
        *,
        n_trials: int = 3,
        storage: str | None = None,
        space: str = SPACE,
        sampler: str = "random",
    ) -> StudyConfig:
        line = "" if storage is None else f'storage = "{storage}"'
        text = STUDY.format(n_trials=n_trials, storage=line, sampler=sampler)
        (tmp_path / "study.toml").write_text(text)
        (tmp_path / "space.toml").write_text(space)
        return load_study(tmp_path / "study.toml")

    return make
