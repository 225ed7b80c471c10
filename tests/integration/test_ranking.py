"""The objective's order of LoRAs is that of the pixels, of which only the demo's drawer knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from optimizer.config.study import load_study
from optimizer.demo.layout import lay_out
from optimizer.demo.world import background_of, shows_subject
from optimizer.models.lora import applied_lora
from optimizer.scoring.generate import draw
from optimizer.scoring.scorer import Scored, Scorer
from optimizer.trial.workbench import Workbench, open_workbench

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Judged:
    """What the search would say of a LoRA, and what is true."""

    scored: Scored
    truth: float
    """Share of fresh pictures with the subject on the background that was asked for."""

    @property
    def objective(self) -> float:
        return self.scored.scores.objective

    def part(self, name: str) -> float:
        return self.scored.scores.parts[name].value


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    """A good LoRA, one that knows its few pictures by heart, and one that lost the prompt."""
    whole = _workbench(tmp_path_factory.mktemp("whole"))
    few = _workbench(tmp_path_factory.mktemp("few"), pictures=2)
    return {
        "good": _judged(whole, rate=1e-2, epochs=8),
        "copies": _judged(few, rate=1e-2, epochs=200),
        "prompt lost": _judged(whole, rate=1e-1, epochs=4),
    }


def _workbench(folder: Path, pictures: int | None = None) -> Workbench:
    """The demo's SDXL study, on all of its pictures or on the first few."""
    list(lay_out(folder))
    images = sorted((folder / "data" / "demo" / "images").glob("*.png"))
    for image in images[pictures:] if pictures else []:
        image.unlink()
        image.with_suffix(".txt").unlink()
    return open_workbench(load_study(folder / "studies" / "demo_sdxl.toml"))


def _judged(bench: Workbench, *, rate: float, epochs: int) -> Judged:
    changed = {"learning_rate": rate, "max_train_epochs": epochs, "save_every_n_epochs": epochs}
    settings = bench.config.training.model_copy(
        update=changed | {"network_dim": 8, "network_alpha": 8.0}
    )
    trained = bench.trainer.train(settings, bench.config.folder / f"{rate}", "mivo")
    with applied_lora(bench.model, trained.checkpoints[-1].path):
        return Judged(bench.scorer.score(), _truth(bench.scorer))


def _truth(scorer: Scorer) -> float:
    fresh = scorer.redrawn(2)
    plan = fresh.prompts.subject
    images = draw(fresh.model, plan, fresh.config)
    pairs: Iterator[bool] = (
        shows_subject(image) and f"on a {background_of(image)} background" in picture.judged
        for image, picture in zip(images, plan, strict=True)
    )
    return float(np.mean(list(pairs)))


def test_a_lora_that_copies_its_training_pictures_ranks_below_a_good_one(
    judged: dict[str, Judged],
) -> None:
    good, copies = judged["good"], judged["copies"]
    assert copies.part("diversity") < good.part("diversity"), "it draws its few pictures"
    assert good.objective > copies.objective
    assert good.truth > copies.truth


def test_a_lora_that_lost_the_prompt_ranks_below_one_that_kept_it(
    judged: dict[str, Judged],
) -> None:
    good, lost = judged["good"], judged["prompt lost"]
    assert lost.part("clip_t") < good.part("clip_t")
    assert good.objective > lost.objective
    assert good.truth > lost.truth
