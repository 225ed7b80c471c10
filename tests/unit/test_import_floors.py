"""Imports run downwards only, and three walls stand between torch, Optuna and the rest."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "optimizer"
FLOORS = {
    "errors": 0, "files": 0, "logs": 0, "locks": 0, "processes": 0,
    "config": 1, "cards": 1,
    "data": 2, "storage": 2, "space": 2,
    "models": 3,
    "training": 4, "scoring": 4,
    "trial": 5,
    "study": 6, "demo": 6,
    "cli": 7, "report": 7,
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "optimizer" or len(parts) < 2 or own == "__init__":
            continue
        same_room = parts[1] == own
        assert same_room or FLOORS[parts[1]] <= FLOORS[own], f"{path} imports {name}"


@pytest.mark.parametrize(
    ("rooms", "forbidden"),
    [
        (("training", "scoring", "models", "data"), "optuna"),
        (("study", "space"), "torch"),
        (("config",), "torch"),
        (("config",), "optuna"),
    ],
)
def test_walls(rooms: tuple[str, ...], forbidden: str) -> None:
    for path in MODULES:
        if room(path) in rooms:
            assert forbidden not in {name.split(".")[0] for name in imports(path)}, path


def test_reading_a_study_loads_neither_torch_nor_optuna() -> None:
    code = (
        "import sys; from optimizer.cli.main import app; import optimizer.config.study\n"
        "print([m for m in ('torch', 'optuna') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"


def test_subpackages_export_nothing() -> None:
    for path in PACKAGE.glob("*/__init__.py"):
        assert not path.read_text().strip(), path
