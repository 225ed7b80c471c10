"""What cannot fit the card is not trained."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optimizer.config.dataset import dataset_config_from
from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.records import scan
from optimizer.demo import layout
from optimizer.errors import TooLargeError
from optimizer.trial.admission import Admission, admission_on
from optimizer.trial.outcome import Outcome, outcome_of

WEIGHTS = Path(layout.__file__).parent / "weights"
MODEL = ModelConfig(family="sdxl", pretrained_model_name_or_path=str(WEIGHTS / "sdxl"))
HELD = 20 * 2**20
Make = Callable[[int], Admission]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An admission to a card with so many bytes, of which the base takes 20 MiB."""
    layout.save_drawings(tmp_path / "images", layout.subject_drawings(2, 64, seed=1))
    subset = {"image_dir": str(tmp_path / "images"), "caption_extension": ".txt"}
    table = {"resolution": 64, "batch_size": 2, "subsets": [subset]}
    records = scan(dataset_config_from({"datasets": [table]}, tmp_path / "dataset.toml"))
    return lambda limit: Admission(MODEL, records, HELD, limit)


def settings(**changed: object) -> Hyperparameters:
    return Hyperparameters.model_validate({"network_dim": 4} | changed)


def test_what_fits_is_admitted_and_a_rank_too_large_is_not(make: Make) -> None:
    admission = make(30 * 2**20)
    admission.check(settings())
    with pytest.raises(TooLargeError, match=r"at least 0\.\d+ GiB are needed.*lower network_dim"):
        admission.check(settings(network_dim=512))


def test_what_a_run_can_save_by_itself_is_not_asked_for(make: Make) -> None:
    admission = make(HELD)
    _, plain = admission.least(settings(gradient_checkpointing=False))
    _, saved = admission.least(settings(gradient_checkpointing=True))
    assert saved < plain
    assert admission.least(settings(gradient_checkpointing="auto"))[1] == saved
    batched = settings(gradient_checkpointing=False, train_batch_size=8)
    assert admission.least(batched)[1] == plain


def test_the_trial_becomes_infeasible_with_a_reason(make: Make, tmp_path: Path) -> None:
    def trial() -> Outcome:
        make(HELD).check(settings())
        return Outcome("complete", "complete")

    outcome = outcome_of(trial, tmp_path)
    assert (outcome.state, outcome.kind) == ("infeasible", "predicted_out_of_memory")
    assert "the limit is 0.02" in outcome.reason


def test_on_the_cpu_nothing_is_refused() -> None:
    assert admission_on(torch.device("cpu"), MODEL, []) is None
