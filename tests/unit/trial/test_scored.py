"""What a trial that goes on knows of its earlier checkpoints."""

from pathlib import Path

from optimizer.config.training import Hyperparameters
from optimizer.training.state import TrainingState
from optimizer.trial.record import TrialFolder
from optimizer.trial.scored import scored_before


def test_a_trial_interrupted_before_its_first_checkpoint_has_no_scores(tmp_path: Path) -> None:
    state = TrainingState(Hyperparameters(), "a model", 1, 0, 8, checkpoints=[], tree={})
    assert scored_before(TrialFolder(tmp_path, 0), state) == []
