"""A trial is fitted to the card, or not trained."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.records import scan
from optimizer.demo import layout
from optimizer.errors import TooLargeError
from optimizer.training.forecast import Forecast
from optimizer.training.memory import MemoryWay
from optimizer.trial.admission import HEADROOM, Admission, admission_on
from optimizer.trial.outcome import Outcome, outcome_of

WEIGHTS = Path(layout.__file__).parent / "weights"
MIB = 2**20
HELD = 20 * MIB
Make = Callable[..., Admission]
MakeStudy = Callable[..., StudyConfig]


@pytest.fixture(scope="module")
def forecasts() -> list[Forecast]:
    """The one that all tests share: it takes seconds, and depends on the base model alone."""
    return []


@pytest.fixture
def make(make_study: MakeStudy, tmp_path: Path, forecasts: list[Forecast]) -> Make:
    """An admission to a card with so many bytes, of which base model and judge take 20 MiB."""
    layout.save_drawings(tmp_path / "images", layout.subject_drawings(2, 64, seed=1))

    def admission(limit: float, memory: str = "auto", **subset: object) -> Admission:
        config = make_study(
            family="sdxl",
            study=f'memory = "{memory}"',
            dataset='[dataset.general]\ncaption_extension = ".txt"',
        )
        model = config.model.model_copy(
            update={"pretrained_model_name_or_path": str(WEIGHTS / "sdxl")}
        )
        config = config.model_copy(update={"model": model})
        records = [
            replace(
                record,
                dataset=record.dataset.model_copy(update={"batch_size": 4}),
                subset=record.subset.model_copy(update=subset),
            )
            for record in scan(config.dataset)
        ]
        found = Admission(config, records, HELD, int(limit))
        forecasts.append(found.forecast)
        found.forecast = forecasts[0]
        return found

    return admission


def settings(**changed: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"network_dim": 4} | changed)


def test_a_rank_too_large_for_the_card_is_refused(make: Make) -> None:
    admission = make(30 * MIB)
    admission.way(settings())
    with pytest.raises(TooLargeError, match=r"at least 0\.\d+ GiB .* lower network_dim"):
        admission.way(settings(network_dim=512))


def test_with_room_nothing_is_saved(make: Make) -> None:
    assert make(10**12).way(settings()) == MemoryWay(checkpoints=False, at_once=4)
    accumulated = settings(train_batch_size=2, gradient_accumulation_steps=4)
    assert make(10**12).way(accumulated) == MemoryWay(checkpoints=False, at_once=8)
    asked = settings(gradient_checkpointing=True)
    assert make(10**12).way(asked) == MemoryWay(checkpoints=True, at_once=4)


def test_less_and_less_room_costs_more_and_more_speed(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings()
    admission = make(10**12)
    found: list[MemoryWay] = []
    with caplog.at_level(logging.INFO):
        while True:
            try:
                way = admission.way(chosen)
            except TooLargeError:
                break
            assert way is not None
            found.append(way)
            # One byte less than this way is allowed to take, or than it takes at all.
            needed = admission.needed(chosen, way)
            smallest = way == found[-2] if len(found) > 1 else False
            admission.limit = needed - 1 if smallest else int(needed / HEADROOM) - 1
    ways = list(dict.fromkeys(found))
    idle = ("vae", "text_encoder", "text_encoder_2")
    assert ways[:2] == [MemoryWay(False, 4), MemoryWay(False, 4, idle)]
    assert ways[-1] == MemoryWay(True, 1, idle)
    assert [w.checkpoints for w in ways] == sorted(w.checkpoints for w in ways)
    assert "1 picture at once, with checkpointing, vae, text_encoder, text_encoder_2" in caplog.text


def test_networks_that_are_needed_do_not_rest(make: Make) -> None:
    tight = int(0.9 * make(10**12).needed(settings(), MemoryWay(False, 4)))
    assert "vae" not in make(tight, random_crop=True).way(settings()).resting
    trained = make(tight).way(settings(text_encoder_lr=1e-4))
    assert set(trained.resting) <= {"vae"}


def test_as_set_only_refuses(make: Make) -> None:
    assert make(10**12, memory="as_set").way(settings()) is None
    least = make(10**12).needed(settings(), MemoryWay(True, 1))
    assert make(least, memory="as_set").way(settings()) is None
    with pytest.raises(TooLargeError):
        make(least - 1, memory="as_set").way(settings())
    make(least - 1).way(settings())  # networks can rest yet


def test_the_trial_becomes_infeasible_with_a_reason(make: Make, tmp_path: Path) -> None:
    def trial() -> Outcome:
        make(HELD / 2).way(settings())
        return Outcome("complete", "complete")

    outcome = outcome_of(trial, tmp_path)
    assert (outcome.state, outcome.kind) == ("infeasible", "predicted_out_of_memory")
    assert "the limit is 0.01" in outcome.reason


def test_on_the_cpu_nothing_is_refused(make_study: MakeStudy) -> None:
    assert admission_on(torch.device("cpu"), make_study(), []) is None
