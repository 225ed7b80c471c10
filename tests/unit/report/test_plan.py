"""`optimizer plan`: what it says of draws that are refused, and of drawing too much."""

from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.config.study import StudyConfig, load_study
from optimizer.report.plan import Memory, Plan, refused_shares
from optimizer.report.plan_view import print_plan
from optimizer.study.open import space_of
from optimizer.training.cost import StepCost

SPACE = """
[parameters.network_dim]
type = "categorical"
choices = [4, 8, 16, 32]
[[constraints]]
rule = "network_dim > 4"
reason = "four is too few"
[[constraints]]
rule = "network_dim > 8"
reason = "eight is still too few"
"""


@pytest.fixture
def config(write_study: Callable[..., Path]) -> StudyConfig:
    return load_study(write_study(SPACE))


def plan(config: StudyConfig, share: float) -> Plan:
    return Plan(
        name=config.name,
        architecture="its own",
        pictures=3,
        pictures_with_repeats=3,
        buckets=1,
        largest_bucket=(64, 64),
        updates_per_epoch=(3, 3),
        updates_per_trial=(3, 6),
        checkpoints_per_trial=(1, 1),
        pictures_per_checkpoint=2,
        drawing_share=share,
        largest_trial="network_dim 32, batch 1",
        memory=(Memory("no checkpointing", StepCost(1, 1, 1, 1), None),),
        memory_auto="",
        lora_bytes=(1, 2),
        disk_bytes=(1, 2),
        trials_left=1,
        seconds_per_trial=None,
        refused=refused_shares(space_of(config)),
    )


def test_every_rule_has_its_share(config: StudyConfig) -> None:
    shares = refused_shares(space_of(config))
    assert shares["eight is still too few"] == pytest.approx(0.5, abs=0.1)
    assert shares["four is too few"] == pytest.approx(0.25, abs=0.1), "broken together with eight"


def test_all_reasons_are_printed(config: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan(config, 0.2), config)
    said = capsys.readouterr().out
    assert "four is too few" in said
    assert "eight is still too few" in said
    assert "about 20% of a trial's operations" in said
    assert "to draw less" not in said


def test_much_drawing_is_said(config: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan(config, 0.7), config)
    assert "lower num_images_per_prompt" in capsys.readouterr().out
