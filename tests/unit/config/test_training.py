"""The hyperparameters: sd-scripts' names, with bounds that refuse before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from optimizer.config.study import parse_hyperparameters
from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError


def problem(**values: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_hyperparameters(values, Path("x.toml"))
    (only,) = refused.value.problems
    return only.removeprefix("x.toml: ")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("learning_rate", 0, "greater than 0.0"),
        ("learning_rate", -1e-4, "greater than 0.0"),
        ("learning_rate", float("inf"), "a finite number"),
        ("learning_rate", True, "a number"),
        ("unet_lr", 0, "greater than 0.0"),
        ("text_encoder_lr", -1e-5, "at least 0.0"),
        ("network_dim", 0, "at least 1"),
        ("network_dim", 8.5, "an integer"),
        ("network_dim", "8", "an integer"),
        ("network_alpha", 0, "greater than 0.0"),
        ("network_dropout", 1, "less than 1.0"),
        ("weight_decay", -1, "at least 0.0"),
        ("max_grad_norm", -1, "at least 0.0"),
        ("lr_scheduler_num_cycles", 0, "at least 1"),
        ("lr_warmup_steps", -1, "at least 0"),
        ("lr_warmup_ratio", 1.0, "less than 1.0"),
        ("train_batch_size", 0, "at least 1"),
        ("gradient_accumulation_steps", 0, "at least 1"),
        ("max_train_epochs", 0, "at least 1"),
        ("save_every_n_epochs", 0, "at least 1"),
        ("min_snr_gamma", 0, "greater than 0.0"),
        ("clip_skip", 13, "at most 12"),
        ("max_token_length", 77, "one of 75, 150 or 225"),
        ("gradient_checkpointing", 1, "true or false or one of 'auto'"),
    ],
)
def test_values_that_cannot_be_trained_with_are_refused(
    name: str, value: object, wanted: str
) -> None:
    assert problem(**{name: value}).startswith(f"{name} must be {wanted}, found ")


@pytest.mark.parametrize(
    ("name", "typo", "meant"),
    [
        ("optimizer_type", "Adamw", "AdamW"),
        ("lr_scheduler", "cosine_with_restart", "cosine_with_restarts"),
        ("mixed_precision", "fp-16", "fp16"),
        ("targets", "atention", "attention"),
    ],
)
def test_mistyped_choices_are_refused_with_the_nearest(name: str, typo: str, meant: str) -> None:
    assert problem(**{name: typo}).endswith(f'found "{typo}"; did you mean {meant}?')


def test_peft_names_are_not_known() -> None:
    assert problem(lora_alpha=8).startswith("lora_alpha is not a known key")


def test_warm_up_is_given_once_and_only_where_the_scheduler_has_it() -> None:
    both = problem(lr_warmup_steps=10, lr_warmup_ratio=0.1)
    assert both == "give lr_warmup_steps or lr_warmup_ratio, not both"
    for warmup in ({"lr_warmup_steps": 10}, {"lr_warmup_ratio": 0.1}):
        assert "constant has no warm-up" in problem(lr_scheduler="constant", **warmup)
        assert parse_hyperparameters({"lr_scheduler": "constant_with_warmup"} | warmup, Path())


def test_unet_rate_is_the_learning_rate_where_not_given() -> None:
    assert Hyperparameters(learning_rate=3e-4).effective_unet_lr == 3e-4
    assert Hyperparameters(learning_rate=3e-4, unet_lr=1e-4).effective_unet_lr == 1e-4


def test_text_encoders_are_trained_above_a_rate_of_zero() -> None:
    assert not Hyperparameters().trains_text_encoders
    assert Hyperparameters(text_encoder_lr=1e-5).trains_text_encoders


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Hyperparameters().learning_rate = 0  # type: ignore[misc]


def test_settings_survive_the_way_through_json() -> None:
    settings = Hyperparameters(learning_rate=7.1e-5, clip_skip=2, min_snr_gamma=5)
    assert Hyperparameters.model_validate(settings.model_dump(mode="json")) == settings
