"""Drawing and scoring one saved checkpoint, from the file: what is scored is what is shipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from optimizer.models.lora import applied_lora
from optimizer.scoring.objective import Scores
from optimizer.scoring.scorer import Picture
from optimizer.training.results import Checkpoint
from optimizer.training.state import TrainingState
from optimizer.trial.record import TrialFolder
from optimizer.trial.workbench import Workbench


@dataclass(frozen=True)
class ScoredCheckpoint:
    """A checkpoint and what its pictures are worth."""

    checkpoint: Checkpoint
    scores: Scores

    @property
    def rank(self) -> tuple[bool, float]:
        """The higher the better; unhealthy pictures are worse than any others."""
        return self.scores.health.ok, self.scores.objective

    def as_dict(self) -> dict[str, Any]:
        """Plain data for scores.json."""
        c = self.checkpoint
        return {
            "epoch": c.epoch,
            "global_step": c.global_step,
            "file": c.path.name,
            "sha256": c.sha256,
            "validation_loss": c.validation_loss,
            "validation_losses": dict(c.validation_losses),
            **self.scores.as_dict(),
        }


def score_checkpoint(
    bench: Workbench, checkpoint: Checkpoint, folder: TrialFolder
) -> tuple[ScoredCheckpoint, list[Image.Image]]:
    """Score a LoRA file and keep its pictures, which are returned too, beside the trial."""
    with applied_lora(bench.model, checkpoint.path, bench.config.scoring.strength):
        scored = bench.scorer.score()
    save_pictures(scored.pictures, folder.samples(checkpoint.epoch))
    return ScoredCheckpoint(checkpoint, scored.scores), [p.image for p in scored.pictures]


def scored_before(folder: TrialFolder, state: TrainingState) -> list[ScoredCheckpoint]:
    """The scores of those checkpoints that a run going on from this state will not report again."""
    done = {kept["epoch"]: kept for kept in state.checkpoints}
    if not done:  # interrupted before its first checkpoint: there is no scores.json yet
        return []
    found = []
    for told in folder.read("scores.json")["checkpoints"]:
        if kept := done.get(told["epoch"]):
            path = folder.checkpoints / kept["path"]
            checkpoint = Checkpoint(**(kept | {"path": path}))
            found.append(ScoredCheckpoint(checkpoint, Scores.from_dict(told)))
    return found


def save_pictures(pictures: Sequence[Picture], folder: Path) -> None:
    """One PNG per picture, numbered in the order of the prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        picture.image.save(folder / f"{number:03d}.png")
