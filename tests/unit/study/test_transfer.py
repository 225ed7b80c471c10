"""What becomes of each setting between families, and why."""

from typing import Any

import pytest

from optimizer.config.training import Hyperparameters
from optimizer.errors import TransferError
from optimizer.study.transfer import Row, transfer

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
    ("dim", "target", "action"),
    [(4, 64, "rescaled"), (64, 64, "kept"), (81, 96, "rescaled"), (256, 128, "rescaled")],
)
def test_dim_goes_to_the_nearest_that_sdxl_takes(dim: int, target: int, action: str) -> None:
    row = rows({"network_dim": dim})["network_dim"]
    assert (row.target, row.action) == (target, action)


def test_alpha_means_nothing_without_its_dim() -> None:
    row = rows({"learning_rate": 1e-4, "network_alpha": 16.0})["network_alpha"]
    assert (row.action, row.target) == ("dropped", None)


def test_text_encoder_rate_means_nothing_without_the_rate() -> None:
    row = rows({"network_dim": 64, "text_encoder_lr": 1e-5})["text_encoder_lr"]
    assert (row.action, row.target) == ("dropped", None)


def test_what_does_not_depend_on_the_model_is_kept() -> None:
    found = rows(BEST | {"noise_offset": 0.05, "min_snr_gamma": 5.0})
    for name in ("optimizer_type", "lr_scheduler", "noise_offset", "min_snr_gamma"):
        assert found[name].action == "kept", name
        assert found[name].target == found[name].source


def test_epochs_and_accumulation_stay() -> None:
    found = rows(BEST)
    assert (found["max_train_epochs"].target, found["max_train_epochs"].action) == (12, "kept")
    assert found["gradient_accumulation_steps"].target == 2


def test_no_warm_up_by_steps_does_not_undo_one_by_ratio() -> None:
    best = {"lr_warmup_ratio": 0.1, "lr_warmup_steps": 0}
    (seed,) = transfer(best, "sdxl", {"max_train_steps": 100}).seeds
    assert Hyperparameters(**seed).lr_warmup_ratio == 0.1


def test_every_row_has_a_reason_and_every_setting_a_row() -> None:
    best = Hyperparameters(text_encoder_lr=1e-5, clip_skip=2, unet_lr=1e-4).model_dump()
    found = transfer(best | {"face_score": 1}, "sdxl").rows
    assert [row.source for row in found] == [*best.values(), 1]
    assert all(row.reason for row in found)


def test_seeds_are_settings_that_can_be_trained() -> None:
    best = Hyperparameters(text_encoder_lr=1e-5, clip_skip=2, lr_warmup_steps=50).model_dump()
    carried = transfer(best, "sdxl", {"max_train_steps": 540})
    assert len({Hyperparameters(**seed).learning_rate for seed in carried.seeds}) == 3


def test_without_a_learning_rate_there_is_one_seed() -> None:
    assert transfer({"network_dim": 96}, "sdxl").seeds == ({"network_dim": 96},)


def test_nothing_to_carry_over_is_an_error() -> None:
    with pytest.raises(TransferError, match="none of the best parameters"):
        transfer({"face_score": 1, "clip_skip": 2}, "sdxl")


def test_carrying_over_again_changes_nothing() -> None:
    """SDXL's best is carried to another SDXL study as it is."""
    best = BEST | {"text_encoder_lr": 3e-5}
    once = transfer(best, "sdxl", {"family": "sd15"}).seeds
    again = transfer(once[0], "sdxl", {"family": "sdxl"}).seeds
    assert again == once


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_within_a_family_nothing_is_rescaled(family: Any) -> None:
    best = BEST | {"clip_skip": 2, "text_encoder_lr": 3e-5}
    carried = transfer(best, family, {"family": family})
    assert carried.seeds[0] == best
    assert "rescaled" not in {row.action for row in carried.rows}
