"""TOML files become frozen models, and every problem is said in one sentence."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import Field, ValidationError, model_validator

from optimizer.config.base import Frozen, ResolvedPath, load, parse, read_toml
from optimizer.errors import ConfigError


class Range(Frozen):
    type: Literal["range"]
    low: float
    high: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Choice(Frozen):
    type: Literal["choice"]
    choices: tuple[int, ...]


class Training(Frozen):
    learning_rate: float = 1e-4
    epochs: int = Field(default=1, ge=1)
    lr_scheduler: Literal["cosine", "constant"] = "cosine"
    warmup: int | Literal["auto"] = "auto"
    bucket: bool = False
    name: str | None = None


Tagged = Annotated[Range | Choice, Field(discriminator="type")]


class File(Frozen):
    training: Training = Training()
    folder: ResolvedPath = Path("runs")
    parameters: dict[str, Tagged] = Field(default_factory=dict)
    plain: dict[str, Range | Choice] = Field(default_factory=dict)
    runs: tuple[Training, ...] = ()


def problems_of(data: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(File, data, Path("studies/x.toml"))
    return [problem.removeprefix("studies/x.toml: ") for problem in caught.value.problems]


def test_every_problem_names_key_and_remedy() -> None:
    training = {"learing_rate": 1, "epochs": "ten", "lr_scheduler": "cosin", "bucket": 1}
    assert problems_of({"training": training, "foldr": "x"}) == [
        'training.epochs must be an integer, found "ten"',
        "training.lr_scheduler must be one of 'cosine' or 'constant', found \"cosin\""
        "; did you mean cosine?",
        "training.bucket must be true or false, found 1",
        "training.learing_rate is not a known key; did you mean learning_rate?",
        "foldr is not a known key; did you mean folder?",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"training": {"epochs": True}}, "training.epochs must be an integer, found true"),
        ({"training": {"epochs": 1.5}}, "training.epochs must be an integer, found 1.5"),
        ({"training": {"epochs": 0}}, "training.epochs must be at least 1, found 0"),
        (
            {"training": {"learning_rate": "1e-4"}},
            'training.learning_rate must be a number, found "1e-4"',
        ),
        (
            {"training": {"learning_rate": float("nan")}},
            "training.learning_rate must be a finite number, found nan",
        ),
        (
            {"training": {"warmup": 1.5}},
            "training.warmup must be an integer or one of 'auto', found 1.5",
        ),
        ({"training": {"name": 3}}, "training.name must be text in quotes, found 3"),
        ({"training": 3}, "training must be a table, found 3"),
        ({"runs": {}}, "runs must be an array, found a table"),
        ({"runs": [{}, {"nmae": "x"}]}, "runs[1].nmae is not a known key; did you mean name?"),
        (
            {"runs": [{"zzz": 1}]},
            "runs[0].zzz is not a known key; known keys are bucket, epochs, learning_rate, "
            "lr_scheduler, name, warmup",
        ),
        ({"folder": 3}, "folder must be a path in quotes, found 3"),
        ({"parameters": {"a": {"low": 1}}}, "parameters.a.type is missing"),
        (
            {"parameters": {"a": {"type": "rang"}}},
            "parameters.a.type must be one of 'range', 'choice', found \"rang\""
            "; did you mean range?",
        ),
        (
            {"parameters": {"a": {"type": "range", "low": 1}}},
            "parameters.a.high is missing",
        ),
        (
            {"parameters": {"a": {"type": "range", "low": 2, "high": 1}}},
            "parameters.a: low is above high",
        ),
    ],
)
def test_one_problem(data: dict[str, Any], problem: str) -> None:
    assert problems_of(data) == [problem]


def test_a_union_complains_only_of_the_nearest_member() -> None:
    assert problems_of({"plain": {"a": {"type": "range", "low": 1, "hgih": 2}}}) == [
        "plain.a.high is missing",
        "plain.a.hgih is not a known key; did you mean high?",
    ]


def test_integers_are_floats_and_arrays_tuples() -> None:
    choice = {"type": "choice", "choices": [1, 2]}
    file = parse(File, {"training": {"learning_rate": 1}, "plain": {"a": choice}}, Path("x.toml"))
    assert isinstance(file.training.learning_rate, float)
    assert file.plain["a"] == Choice(type="choice", choices=(1, 2))
    with pytest.raises(ValidationError):
        file.training.epochs = 3  # type: ignore[misc]


def test_array_items_stay_strict() -> None:
    choice = {"type": "choice", "choices": [1, "2"]}
    assert problems_of({"parameters": {"a": choice}}) == [
        'parameters.a.choices[1] must be an integer, found "2"'
    ]


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = tmp_path / "x.toml"
    for written, meant in [
        ("a/b", tmp_path / "a/b"),
        ("~/c", tmp_path / "home/c"),
        (str(tmp_path / "d"), tmp_path / "d"),
    ]:
        file.write_text(f'folder = "{written}"')
        assert load(File, file).folder == meant
    file.write_text("")
    assert load(File, file).folder == tmp_path / "runs"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = \n", "is not valid TOML: Invalid value (at line 1, column 5)"),
        (b'a = "\xff"', "is not UTF-8 text (byte 5); save it as UTF-8"),
    ],
)
def test_unreadable_toml(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert caught.value.problems == (f"{path}: {problem}",)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_toml(tmp_path / "x.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_toml(tmp_path)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path) == {"a": 1}


def test_config_imports_neither_torch_nor_optuna() -> None:
    code = (
        "import sys, optimizer.config.dataset\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'optuna', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
