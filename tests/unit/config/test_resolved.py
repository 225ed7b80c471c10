"""study.toml and space.toml in a study's folder: enough to run it again from anywhere."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optimizer.config.resolved import write_resolved
from optimizer.config.study import StudyConfig, load_study

Make = Callable[..., StudyConfig]


def written(config: StudyConfig) -> dict[str, Any]:
    write_resolved(config)
    return tomllib.loads((config.folder / "study.toml").read_text())


def test_a_study_reads_back_the_same(make_study: Make) -> None:
    config = make_study(training="text_encoder_lr = 1e-5\nmin_snr_gamma = 5")
    write_resolved(config)
    again = load_study(config.folder / "study.toml")
    for part in ("model", "scoring", "training", "dataset", "space"):
        assert getattr(again, part).model_dump() == getattr(config, part).model_dump(), part
    assert (again.name, again.folder) == (config.name, config.folder)


def test_it_reads_back_from_another_folder_too(
    make_study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_study(make_study().path.relative_to(tmp_path))
    write_resolved(config)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = load_study(tmp_path / config.folder / "study.toml")
    assert again.folder == tmp_path / "runs" / "small"
    assert again.dataset.datasets[0].subsets[0].image_dir == tmp_path / "images"


def test_defaults_are_written_out_and_searched_settings_left_out(make_study: Make) -> None:
    training = written(make_study())["training"]
    assert training["optimizer_type"] == "AdamW8bit"
    assert not {"learning_rate", "network_dim", "network_alpha"} & set(training)


def test_paths_are_absolute_and_hub_ids_untouched(make_study: Make, tmp_path: Path) -> None:
    tables = written(make_study(scoring='reference_dir = "refs"'))
    assert tables["scoring"]["reference_dir"] == str(tmp_path / "refs")
    assert tables["study"]["output_dir"] == str(tmp_path / "runs")
    assert tables["study"]["search_space"] == "space.toml"
    assert tables["model"]["pretrained_model_name_or_path"] == "some/model"


def test_a_password_from_the_environment_is_not_written(
    make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_DATABASE", "postgresql://me:sesame@host/db")
    tables = written(make_study(storage="env:STUDY_DATABASE"))
    assert tables["study"]["storage"] == "env:STUDY_DATABASE"


def test_the_original_is_not_needed_any_more(make_study: Make) -> None:
    config = make_study()
    write_resolved(config)
    config.path.unlink()
    config.study.search_space.unlink()
    assert load_study(config.folder / "study.toml").space == config.space
