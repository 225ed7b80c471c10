"""Hyperparameters as PEFT's configuration: layers, ranks, scales."""

import pytest

from optimizer.config.training import Hyperparameters
from optimizer.training.adapter_config import adapter_config


def settings(**chosen: object) -> Hyperparameters:
    known = {"network_dim": 16, "network_alpha": 8.0}
    return Hyperparameters.model_validate(known | chosen)


def test_rank_alpha_and_dropout_arrive() -> None:
    config = adapter_config("unet", settings(network_dropout=0.1, use_dora=True))
    assert (config.r, config.lora_alpha, config.lora_dropout) == (16, 8.0, 0.1)
    assert config.use_dora
    assert not config.rank_pattern


def test_rslora_divides_by_the_root_of_the_rank() -> None:
    config = adapter_config("unet", settings(use_rslora=True, conv_dim=4))
    assert config.lora_alpha / config.r == pytest.approx(8 / 16**0.5)
    (pattern,) = config.alpha_pattern
    assert config.alpha_pattern[pattern] / config.rank_pattern[pattern] == pytest.approx(2 / 4**0.5)
    assert not config.use_rslora, "the file says another alpha, which every loader understands"


@pytest.mark.parametrize(("given", "alpha"), [(None, 2.0), (1.0, 1.0)])
def test_convolutions_have_a_rank_of_their_own(given: float | None, alpha: float) -> None:
    config = adapter_config("unet", settings(conv_dim=4, conv_alpha=given))
    assert list(config.rank_pattern.values()) == [4]
    assert list(config.alpha_pattern.values()) == [alpha]
    assert {"conv1", "conv2", "conv_shortcut", "time_emb_proj"} <= set(config.target_modules or ())


def test_blocks_keep_their_alpha() -> None:
    config = adapter_config("unet", settings(block_dims={"mid_block": 4, "down_blocks.1": 64}))
    assert list(config.rank_pattern.values()) == [4, 64]
    assert set(config.alpha_pattern.values()) == {8.0}


def test_text_encoders_have_neither_convolutions_nor_blocks() -> None:
    chosen = settings(conv_dim=4, block_dims={"mid_block": 4}, text_encoder_lr=1e-5)
    config = adapter_config("text_encoder", chosen)
    assert not config.rank_pattern
    assert set(config.target_modules or ()) == {
        *("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    }
