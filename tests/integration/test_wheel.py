"""The built wheel carries the demo whole: models, studies and search spaces."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", folder, ROOT], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_weights_and_studies(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "weights/sd15/unet/diffusion_pytorch_model.safetensors",
        "weights/sdxl/unet/diffusion_pytorch_model.safetensors",
        "weights/judge/model.safetensors",
        "studies/demo_sd15.toml",
        "search_spaces/demo_sdxl.toml",
    ):
        assert f"optimizer/demo/{name}" in names
    assert not any(name.startswith(("tests/", "studies/", "runs/")) for name in names)


def test_demo_lays_itself_out_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; sys.argv = ['optimizer', 'demo', 'here']\n"
        "import optimizer; assert 'site' in optimizer.__file__, optimizer.__file__\n"
        "from optimizer.cli.main import main; main()"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "here" / "studies" / "demo_sdxl.toml").is_file()
    assert len(list((tmp_path / "here" / "data" / "demo" / "images").glob("*.png"))) == 16
    assert (tmp_path / "here" / "data" / "demo" / "models" / "judge" / "config.json").is_file()
