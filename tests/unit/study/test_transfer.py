"""What becomes of each setting between families, and which files it is read from."""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer.config.study import FamilyName
from optimizer.errors import TransferError
from optimizer.study.best_params import read_best_params, read_transfer
from optimizer.study.transfer import transfer
from optimizer.study.transfer_rules import Row

BEST = {
    "learning_rate": 3e-4,
    "network_dim": 32,
    "network_alpha": 16.0,
    "optimizer_type": "AdamW8bit",
    "lr_scheduler": "cosine_with_restarts",
    "gradient_accumulation_steps": 2,
    "max_train_epochs": 12,
}


def rows(best: dict[str, Any], **provenance: Any) -> dict[str, Row]:
    return {row.name: row for row in transfer(best, "sdxl", provenance).rows}


def test_learning_rate_becomes_a_ladder_and_stays_searched() -> None:
    carried = transfer(BEST, "sdxl")
    rates = [seed["learning_rate"] for seed in carried.seeds]
    assert rates == pytest.approx([3e-4, 1e-4, 9e-4])
    assert rows(BEST)["learning_rate"].action == "searched"


def test_dim_is_snapped_and_alpha_keeps_its_ratio() -> None:
    found = rows(BEST)
    assert (found["network_dim"].target, found["network_dim"].action) == (64, "rescaled")
    assert found["network_alpha"].target == 32.0
    assert "0.5" in found["network_alpha"].reason


@pytest.mark.parametrize(
    ("rate", "target", "action"),
    [
        (2.1e-4, 2.1e-4, "kept"),
        (3e-5, 1.5e-4, "rescaled"),
        (3e-4, 2.4e-4, "rescaled"),
        (0, 0, "kept"),
    ],
)
def test_text_encoder_rate_is_a_share_of_the_rate_or_off(
    rate: float, target: float, action: str
) -> None:
    row = rows(BEST | {"text_encoder_lr": rate})["text_encoder_lr"]
    assert (row.target, row.action) == (pytest.approx(target), action)


def test_text_encoder_rate_climbs_the_ladder_too() -> None:
    seeds = transfer(BEST | {"text_encoder_lr": 2.1e-4}, "sdxl").seeds
    assert all(s["text_encoder_lr"] / s["learning_rate"] == pytest.approx(0.7) for s in seeds)


def test_warm_up_steps_become_a_ratio_where_the_length_is_known() -> None:
    best = BEST | {"lr_warmup_steps": 100}
    row = rows(best, family="sd15", max_train_steps=540)["lr_warmup_ratio"]
    assert (row.target, row.action) == (0.185, "rescaled")
    assert rows(best)["lr_warmup_steps"].action == "dropped"


@pytest.mark.parametrize("name", ["clip_skip", "train_batch_size", "unet_lr"])
def test_what_means_nothing_on_sdxl_is_dropped_with_a_reason(name: str) -> None:
    row = rows(BEST | {name: 2})[name]
    assert (row.action, row.target) == ("dropped", None)
    assert row.reason


def test_unknown_keys_are_dropped_and_said() -> None:
    assert rows(BEST | {"face_score": 1})["face_score"].action == "dropped"


def test_same_family_keeps_the_dim() -> None:
    carried = transfer(BEST, "sdxl", {"family": "sdxl"})
    assert {row.name: row.target for row in carried.rows}["network_dim"] == 32


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


def test_the_guides_plan_keeps_the_rate_and_tries_three_dims() -> None:
    best = {"learning_rate": 1e-4, "network_dim": 32, "network_alpha": 16.0}
    carried = transfer(best, "sdxl", plan="guide")
    assert [(seed["network_dim"], seed["network_alpha"]) for seed in carried.seeds] == [
        (64, 32.0),
        (96, 48.0),
        (128, 64.0),
    ]
    assert {seed["learning_rate"] for seed in carried.seeds} == {1e-4}
    assert carried.origins == ("the best, dim 64", "the best, dim 96", "the best, dim 128")
    (rate,) = (row for row in carried.rows if row.name == "learning_rate")
    assert rate.action == "kept"
    assert "the worst one" in rate.reason


@pytest.mark.parametrize("source", ["sd15", "sdxl"])
@pytest.mark.parametrize("target", ["sd15", "sdxl"])
def test_any_pair_of_families(source: str, target: FamilyName) -> None:
    best = {
        "learning_rate": 1e-4,
        "network_dim": 32,
        "text_encoder_lr": 2e-5,
        "text_encoder_2_lr": 1e-5,
    }
    carried = transfer(best, target, {"family": source})
    seed = carried.seeds[0]
    to_sdxl = (source, target) == ("sd15", "sdxl")
    assert seed["network_dim"] == (64 if to_sdxl else 32)
    assert seed["text_encoder_lr"] == (5e-5 if to_sdxl else 2e-5)
    assert ("text_encoder_2_lr" in seed) is (target == "sdxl")
    assert [s["learning_rate"] for s in carried.seeds] == pytest.approx(
        [1e-4, 1e-4 / 3, 3e-4], rel=1e-5
    )
