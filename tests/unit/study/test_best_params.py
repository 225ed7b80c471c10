"""best_params.json: written whole, read back, refused in a sentence when it is something else."""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import TransferError
from optimizer.study.best_params import read_best_params, read_transfer, write_best_params
from optimizer.study.results import BestTrial

PARAMS = {"learning_rate": 3e-4, "network_dim": 32, "network_alpha": 16.0}


def best(number: int = 7) -> BestTrial:
    return BestTrial(number, 0.61, 0.02, PARAMS, Path("trial_0007/checkpoints/a.safetensors"), 6)


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "best_params.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_what_is_written_is_read_back_with_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "best_params.json"
    write_best_params(path, best(3), {"study": "small", "family": "sd15"})
    write_best_params(path, best(7), {"study": "small", "family": "sd15"})
    params, origin = read_best_params(path)
    assert params == PARAMS
    assert (origin["study"], origin["family"], origin["trial"]) == ("small", "sd15", 7)
    assert (origin["objective"], origin["objective_se"], origin["epoch"]) == (0.61, 0.02, 6)
    assert [file.name for file in tmp_path.iterdir()] == ["best_params.json"]


def test_the_file_is_flat_for_those_who_read_it_with_jq(tmp_path: Path) -> None:
    path = tmp_path / "best_params.json"
    write_best_params(path, best(), {})
    assert set(json.loads(path.read_text())) == {*PARAMS, "_study"}


@pytest.mark.parametrize("nest", ["params", "parameters", "best_params"])
def test_values_may_stand_in_a_table(nest: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"trial_number": 3, nest: PARAMS, "metrics": {"a": 1}})
    assert read_best_params(path)[0] == PARAMS


def test_shares_become_values_beside_what_they_are_a_share_of(tmp_path: Path) -> None:
    found, _ = read_best_params(
        written(
            tmp_path,
            {
                "learning_rate": 1e-3,
                "network_dim": 64,
                "network_alpha_ratio": 0.35,
                "text_encoder_lr_ratio": 0.5,
            },
        )
    )
    assert (found["network_alpha"], found["text_encoder_lr"]) == (22.4, 5e-4)


def test_a_value_that_is_given_wins_over_its_share(tmp_path: Path) -> None:
    found, _ = read_best_params(written(tmp_path, PARAMS | {"network_alpha_ratio": 1.0}))
    assert found == PARAMS


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("{", "is not valid JSON"),
        ("[1, 2]", "expected a JSON object"),
        ({}, r"none of its keys is a hyperparameter \(found: nothing\)"),
        ({"lr": 1e-4, "rank": 8}, r"none of its keys .* \(found: lr, rank\)"),
        (PARAMS | {"_study": 7}, "_study must be a table, found 7"),
        ({"learning_rate": -1.0}, "learning_rate must be greater than 0.0, found -1.0"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file(data: Any, problem: str, tmp_path: Path) -> None:
    path = written(tmp_path, data)
    with pytest.raises(TransferError, match=problem) as refused:
        read_best_params(path)
    assert str(refused.value).startswith(str(path))


def test_files_that_are_no_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"none\.json: no such file"):
        read_best_params(tmp_path / "none.json")
    with pytest.raises(TransferError, match="cannot be read: Is a directory"):
        read_best_params(tmp_path)
    (tmp_path / "latin.json").write_bytes('{"a": "ü"}'.encode("latin-1"))
    with pytest.raises(TransferError, match="is not valid JSON"):
        read_best_params(tmp_path / "latin.json")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"seeds": 3}, "seeds must be a list of hyperparameter tables"),
        ({"seeds": [PARAMS, 3]}, "seeds must be a list of hyperparameter tables"),
        ({"seeds": [PARAMS, {"network_dim": "8"}]}, r"seeds\[1\]\.network_dim must be an integer"),
        ({"rows": [{"name": "a"}]}, "rows must be a list of tables with name"),
        ({"provenance": []}, "provenance must be a table"),
        ({"target_family": "sd15"}, "was made for sd15, but this study is sdxl"),
    ],
)
def test_a_transfer_file_that_was_edited_wrongly_is_said(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    data = {"source_family": "sd15", "target_family": "sdxl", "seeds": [PARAMS], "rows": []}
    with pytest.raises(TransferError, match=problem):
        read_transfer(written(tmp_path, data | change), "sdxl")


def test_best_params_of_the_other_family_are_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "best_params.json"
    write_best_params(path, best(), {"study": "small", "family": "sd15"})
    carried = read_transfer(path, "sdxl")
    assert (carried.source_family, carried.target_family) == ("sd15", "sdxl")
    assert [seed["network_dim"] for seed in carried.seeds] == [64, 64, 64]
    assert carried.provenance["trial"] == 7
