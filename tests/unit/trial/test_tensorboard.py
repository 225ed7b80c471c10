"""Event files as TensorBoard reads them."""

from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from optimizer.config.training import Hyperparameters
from optimizer.training.results import Checkpoint, Step
from optimizer.trial.tensorboard import TensorBoard


def step(number: int, loss: float) -> Step:
    rates = {"unet": 1e-3, "unet up": 1.6e-2, "text_encoder_2": 1e-5}
    return Step(1, number, 10, loss, rates, 0.7, 0.2, 3 * 2**30)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def values(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(scalar.step, round(scalar.value, 6)) for scalar in events.Scalars(tag)]


def test_steps_are_told_under_known_tags(tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as board:
        board.step(step(1, 0.4))
        board.step(step(2, 0.2))
    events = read(tmp_path)
    assert values(events, "loss/current") == [(1, 0.4), (2, 0.2)]
    assert values(events, "loss/average") == [(1, 0.4), (2, 0.3)]
    assert values(events, "lr/unet") == [(1, 1e-3), (2, 1e-3)]
    assert values(events, "lr/unet_up") == [(1, 1.6e-2), (2, 1.6e-2)]
    assert values(events, "lr/textencoder_2") == [(1, 1e-5), (2, 1e-5)]
    assert values(events, "norm/avg_grad_norm")[0] == (1, 0.7)
    assert values(events, "time/seconds_per_step")[0] == (1, 0.2)
    assert values(events, "memory/peak_gib")[0] == (1, 3)


def test_checkpoint_tells_validation_and_scores(tmp_path: Path) -> None:
    losses = {"100": 0.3, "900": 0.1}
    with TensorBoard(tmp_path) as board:
        board.step(step(4, 0.15))
        board.checkpoint(Checkpoint(2, 4, tmp_path, "", losses), {"objective": 0.8})
        board.pictures([Image.new("RGB", (8, 6), "red")], 4)
        board.settings(Hyperparameters(), 0.8)
    events = read(tmp_path)
    assert values(events, "loss/validation/epoch_average") == [(4, 0.2)]
    assert values(events, "loss/validation/epoch_divergence") == [(4, 0.05)]
    assert values(events, "loss/validation/timestep_900") == [(4, 0.1)]
    assert values(events, "score/objective") == [(4, 0.8)]
    picture = events.Images("samples/000")[0]
    assert (picture.step, picture.width, picture.height) == (4, 8, 6)


def test_without_validation_pictures_there_is_no_validation_curve(tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as board:
        board.checkpoint(Checkpoint(2, 4, tmp_path, ""), {"objective": 0.8})
    assert [t for t in read(tmp_path).Tags()["scalars"] if "validation" in t] == []


def test_resumed_run_withdraws_what_came_after_its_state(tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as board:
        for number in (1, 2, 3, 4):
            board.step(step(number, 0.4))
    with TensorBoard(tmp_path, resumed_at=2) as board:
        board.step(step(3, 0.1))
    assert values(read(tmp_path), "loss/current") == [(1, 0.4), (2, 0.4), (3, 0.1)]


@pytest.mark.parametrize("name", ["learning_rate", "optimizer_type", "use_dora"])
def test_settings_are_in_the_table_of_hyperparameters(name: str, tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as board:
        board.settings(Hyperparameters(), 0.5)
    summary = read(tmp_path).SummaryMetadata("_hparams_/session_start_info")
    assert name in str(summary)
