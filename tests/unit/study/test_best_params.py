"""best_params.json and its relatives: read in every shape that exists, refused in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import TransferError
from optimizer.study.best_params import read_best_params, read_transfer, write_best_params
from optimizer.study.results import BestTrial
from optimizer.study.transfer import transfer

BEST = {
    "learning_rate": 3e-4,
    "network_dim": 32,
    "network_alpha": 16.0,
    "optimizer_type": "AdamW8bit",
    "lr_scheduler": "cosine_with_restarts",
    "gradient_accumulation_steps": 2,
    "max_train_epochs": 12,
}
# As the origin project wrote it for each trial.
PARAMS_JSON = BEST | {
    "text_encoder_lr": 4.9e-5,
    "network_alpha_ratio": 0.5,
    "lr_warmup_steps": 100,
    "lr_scheduler_num_cycles": 2,
    "max_grad_norm": 0.8,
    "min_snr_gamma": 5.0,
}


def write(folder: Path, data: object) -> Path:
    path = folder / "best.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.mark.parametrize(
    "shape",
    [
        BEST,
        {"trial_number": 3, "combined_score": 0.1, "parameters": BEST},
        {k: v for k, v in BEST.items() if k != "network_alpha"} | {"network_alpha_ratio": 0.5},
        {
            "parameters": {k: v for k, v in BEST.items() if k != "network_alpha"}
            | {"network_alpha_ratio": 0.5}
        },
        BEST | {"network_alpha_ratio": 0.5},
    ],
)
def test_every_known_shape_of_best_parameters_is_read(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps(shape))
    assert read_best_params(path)[0] == BEST


def test_wrong_values_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"learning_rate": "3e-4", "network_dim": 0}))
    with pytest.raises(TransferError) as refused:
        read_best_params(path)
    assert len(refused.value.problems) == 2
    assert all(str(path) in problem for problem in refused.value.problems)


def test_transfer_file_is_read_back_whole(tmp_path: Path) -> None:
    carried = transfer(BEST, "sdxl", {"study": "a"})
    path = tmp_path / "transfer.json"
    path.write_text(json.dumps(carried.as_dict()))
    assert read_transfer(path, "sdxl") == carried
    with pytest.raises(TransferError, match="made for sdxl, but this study is sd15"):
        read_transfer(path, "sd15")


def test_a_trials_params_json_is_read(tmp_path: Path) -> None:
    values, provenance = read_best_params(write(tmp_path, PARAMS_JSON))
    assert values == {k: v for k, v in PARAMS_JSON.items() if k != "network_alpha_ratio"}
    assert provenance == {}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "best_params.json"
    checkpoint = tmp_path / "small.safetensors"
    best = BestTrial(3, 0.62, 0.02, dict(BEST), checkpoint, 8)
    write_best_params(path, best, {"study": "small", "family": "sd15", "max_train_steps": 540})
    values, provenance = read_best_params(path)
    assert values == BEST
    assert provenance == {
        "study": "small",
        "family": "sd15",
        "max_train_steps": 540,
        "trial": 3,
        "objective": 0.62,
        "objective_se": 0.02,
        "epoch": 8,
        "checkpoint": str(checkpoint),
    }


def test_a_share_of_the_learning_rate_becomes_a_rate(tmp_path: Path) -> None:
    shape = {"learning_rate": 3e-4, "text_encoder_lr_ratio": 0.5}
    assert read_best_params(write(tmp_path, shape))[0]["text_encoder_lr"] == 1.5e-4


def test_a_share_without_its_base_is_dropped(tmp_path: Path) -> None:
    shape = {"learning_rate": 3e-4, "network_alpha_ratio": 0.5}
    assert read_best_params(write(tmp_path, shape))[0] == {"learning_rate": 3e-4}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is not valid JSON"),
        ("learning_rate = 1e-4", "is not valid JSON"),
        ([1, 2], "expected a JSON object"),
        ({}, "none of its keys is a hyperparameter (found: nothing)"),
        ({"a": 1, "parameters": {"b": 2}}, "none of its keys is a hyperparameter"),
        (BEST | {"_study": "mine"}, "_study must be a table, found 'mine'"),
    ],
)
def test_files_without_parameters_are_refused(
    content: object, problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(TransferError) as refused:
        read_best_params(path)
    assert problem in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_no_text_and_one_that_is_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="no such file"):
        read_best_params(tmp_path / "best.json")
    with pytest.raises(TransferError, match="cannot be read: Is a directory"):
        read_best_params(tmp_path)
    (tmp_path / "best.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(TransferError, match="is not valid JSON"):
        read_best_params(tmp_path / "best.json")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"target_family": "sd15"}, "was made for sd15, but this study is sdxl"),
        ({"seeds": 3}, "seeds must be a list of hyperparameter tables"),
        ({"seeds": [1e-4]}, "seeds must be a list of hyperparameter tables"),
        (
            {"seeds": [BEST, {"learning_rate": "3e-4"}]},
            'seeds[1].learning_rate must be a number, found "3e-4"',
        ),
        ({"rows": [{"setting": 1}]}, "rows must be a list of tables with name, source, target"),
        ({"rows": 3}, "rows must be a list of tables"),
        ({"provenance": "mine"}, "provenance must be a table, found 'mine'"),
    ],
)
def test_a_transfer_file_edited_wrongly_is_refused(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path, transfer(BEST, "sdxl").as_dict() | change)
    with pytest.raises(TransferError) as refused:
        read_transfer(path, "sdxl")
    assert problem in str(refused.value)


def test_best_parameters_are_carried_over_where_there_is_no_transfer_file(tmp_path: Path) -> None:
    study = {"family": "sd15", "study": "first"}
    carried = read_transfer(write(tmp_path, BEST | {"_study": study}), "sdxl")
    assert carried == transfer(BEST, "sdxl", study)
