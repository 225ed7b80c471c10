"""Which LoRAs are meant, and what a person may ask for instead of what their study says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError, LoraFileError
from optimizer.models.lora import LoraHeader
from optimizer.report.judged import (
    Wishes,
    as_wished,
    check_family,
    device_named,
    lora_files,
    sheet_names,
)

STUDY = """
[study]
name = "small"
n_trials = 1
search_space = "space.toml"
[model]
family = "sdxl"
pretrained_model_name_or_path = "some/model"
[scoring]
clip_model = "some/clip"
trigger = "mivo"
class_word = "monster"
resolution = 1024
num_images_per_prompt = 4
prompts = ["{trigger} one", "{trigger} two", "{trigger} three", "{trigger} four", "{trigger} five"]
[dataset]
[[dataset.datasets]]
resolution = 64
[[dataset.datasets.subsets]]
image_dir = "images"
"""
SPACE = """
[parameters.network_dim]
type = "categorical"
choices = [4, 8]
"""


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "space.toml").write_text(SPACE)
    return load_study(tmp_path / "study.toml")


def header(family: str) -> LoraHeader:
    return LoraHeader(Path("x.safetensors"), family, 1, {})


def wished(config: StudyConfig, family: str = "sdxl", **wishes: Any) -> StudyConfig:
    return as_wished(config, header(family), Wishes(**wishes))


def test_no_wish_changes_nothing(config: StudyConfig) -> None:
    assert wished(config) == config


def test_another_base_model_and_size(config: StudyConfig, tmp_path: Path) -> None:
    found = wished(config, base_model=str(tmp_path), resolution=512)
    assert found.model.pretrained_model_name_or_path == str(tmp_path)
    assert found.scoring.resolution == 512
    assert wished(config, base_model="a/hub-id").scoring.resolution == 1024
    other = wished(config, "sd15", base_model="a/hub-id")
    assert (other.model.family, other.scoring.resolution) == ("sd15", None), "its native size"
    check_family(header("sd15"), other)
    with pytest.raises(LoraFileError, match=r"is a LoRA for sd15, but .* is a study of sdxl"):
        check_family(header("sd15"), config)


@pytest.mark.parametrize(
    ("samples", "prompts", "images"),
    [(80, 5, 16), (20, 5, 4), (16, 4, 4), (10, 5, 2), (3, 3, 1), (1, 1, 1)],
)
def test_so_many_pictures_and_no_fewer(
    config: StudyConfig, samples: int, prompts: int, images: int
) -> None:
    """The guide asks for 16; the origin drew 8 whatever was asked."""
    scoring = wished(config, num_samples=samples).scoring
    assert isinstance(scoring.prompts, tuple)
    assert (len(scoring.prompts), scoring.num_images_per_prompt) == (prompts, images)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (81, r"81 samples are more than its 5 prompts x 16 seeds give \(80\)"),
        (17, r"17 samples cannot be shared evenly .* ask for 16"),
    ],
)
def test_numbers_of_pictures_that_cannot_be(
    config: StudyConfig, samples: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        wished(config, num_samples=samples)


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(*names: str) -> list[Path]:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        return [tmp_path / name for name in names]

    return make


def test_folders_stand_for_their_loras_by_epoch(
    tmp_path: Path, touch: Callable[..., list[Path]]
) -> None:
    single, late, last, early, _ = touch(
        "x.safetensors",
        "trial/checkpoints/s-000010.safetensors",
        "trial/checkpoints/s.safetensors",
        "trial/checkpoints/s-000002.safetensors",
        "trial/params.json",
    )
    assert lora_files([single, tmp_path / "trial"]) == [single, early, late, last]
    assert lora_files([tmp_path / "trial" / "checkpoints"]) == [early, late, last]
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoraFileError, match=r"empty: holds no \.safetensors files"):
        lora_files([tmp_path / "empty"])


def test_two_files_of_one_name_get_sheets_of_their_own(touch: Callable[..., list[Path]]) -> None:
    files = touch("a/checkpoints/s.safetensors", "b/checkpoints/s.safetensors")
    assert list(sheet_names(files).values()) == ["a_checkpoints_s", "b_checkpoints_s"]
    assert list(sheet_names(files[:1]).values()) == ["s"]


def test_devices() -> None:
    assert device_named(None) is None
    assert device_named("cpu") == torch.device("cpu")
    for name in ("cuda:99", "tpu!", ""):
        with pytest.raises(ConfigError, match="cannot be used here; give cpu"):
            device_named(name)
