"""Proof that the offline world works: its models follow words, and LoRAs learn its subject."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.config.training import Hyperparameters
from optimizer.demo import layout
from optimizer.demo.layout import REFERENCE_BACKGROUNDS
from optimizer.demo.world import (
    COLOURS,
    SHAPES,
    background_of,
    shows_subject,
    subject_drawing,
    subject_drawings,
)
from optimizer.models.lora import applied_lora
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.generate import draw
from optimizer.scoring.prompts import PlannedPicture, plan_pictures
from optimizer.scoring.scorer import Scored, Scorer
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer

Models = dict[str, PipelineModel]
WEIGHTS = Path(layout.__file__).parent / "weights"
Prepared = Callable[[str], PreparedData]
FAMILIES = ("sd15", "sdxl")


@pytest.fixture(scope="module")
def judge() -> ClipEncoder:
    return ClipEncoder(str(WEIGHTS / "judge"), torch.device("cpu"))


def scoring(**changed: object) -> ScoringConfig:
    places = [
        f"a {{trigger}} {{class}} on a {colour} background" for colour in REFERENCE_BACKGROUNDS
    ]
    values: dict[str, object] = {
        "clip_model": str(WEIGHTS / "judge"),
        "trigger": "mivo",
        "class_word": "monster",
        "prompts": tuple(places),
        "num_images_per_prompt": 2,
        "num_inference_steps": 12,
        "guidance_scale": 4.0,
        "batch_size": 16,
    }
    return ScoringConfig.model_validate(values | changed)


@pytest.fixture(scope="module")
def drawn(models: Models) -> dict[str, tuple[list[str], list[Image.Image]]]:
    """Pictures of coloured shapes and monsters by each base model, with their captions."""
    rng, names = Random(0), list(COLOURS)
    captions = []
    for number in range(32):
        colour, background = rng.sample(names, 2)
        kind = rng.choice(SHAPES) if number % 2 else "monster"
        captions.append(f"a {colour} {kind} on a {background} background")
    plan = [PlannedPicture(c, c, seed) for seed, c in enumerate(captions)]
    return {f: (captions, draw(models[f], plan, scoring())) for f in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_judge_picks_the_right_caption_among_all(
    family: str, drawn: dict[str, tuple[list[str], list[Image.Image]]], judge: ClipEncoder
) -> None:
    captions, images = drawn[family]
    cosines = judge.pictures(images) @ judge.texts(captions).T
    right = (cosines.argmax(axis=1) == np.arange(len(images))).mean()
    assert right > 0.5  # chance is 1 in 32


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_drawn_for_a_caption_rank_above_others(
    family: str, drawn: dict[str, tuple[list[str], list[Image.Image]]], judge: ClipEncoder
) -> None:
    captions, images = drawn[family]
    cosines = judge.pictures(images) @ judge.texts(captions).T
    own = np.diag(cosines)
    above = (cosines < own[None]).mean(axis=0)
    assert above.mean() > 0.9  # chance is 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_backgrounds_follow_the_words(
    family: str, drawn: dict[str, tuple[list[str], list[Image.Image]]]
) -> None:
    captions, images = drawn[family]
    right = [
        f"on a {background_of(i)} background" in c for c, i in zip(captions, images, strict=True)
    ]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("family", FAMILIES)
def test_bases_do_not_know_the_subject(family: str, models: Models) -> None:
    plan = plan_pictures(scoring(), "test").subject
    images = draw(models[family], plan, scoring())
    assert np.mean([shows_subject(image) for image in images]) < 0.2


def test_judge_tells_the_subject_from_other_monsters(judge: ClipEncoder) -> None:
    from optimizer.demo.world import judge_drawing

    rng = Random(3)
    subject = judge.pictures([d.image for d in subject_drawings(16, 64, seed=5)])
    fresh = judge.pictures([subject_drawing(rng, 64, b).image for b in REFERENCE_BACKGROUNDS])
    others = judge.pictures([judge_drawing(rng, 64).image for _ in range(64)])
    assert (fresh @ subject.T).mean() > (others @ subject.T).mean() + 0.2


def test_weights_are_small_and_finite() -> None:
    from safetensors.torch import load_file

    files = list(WEIGHTS.rglob("*"))
    assert sum(f.stat().st_size for f in files if f.is_file()) < 24_000_000
    for path in WEIGHTS.rglob("*.safetensors"):
        for name, tensor in load_file(path).items():
            assert torch.isfinite(tensor).all(), (path, name)
            assert tensor.dtype in (torch.float16, torch.int64), (path, name)


def trained_scores(rate: float, data: PreparedData, scorer: Scorer, folder: Path) -> Scored:
    settings = Hyperparameters(
        learning_rate=rate,
        network_dim=8,
        network_alpha=8.0,
        max_train_epochs=10,
        save_every_n_epochs=10,
        lr_warmup_ratio=0.1,
        gradient_checkpointing=False,
    )
    result = Trainer(data.model, data).train(settings, folder / f"{rate}", "mivo")
    with applied_lora(data.model, result.checkpoints[-1].path):
        return scorer.score()


def share_with_subject(scored: Scored) -> float:
    """By the pixels, without the judge."""
    return float(np.mean([shows_subject(picture.image) for picture in scored.pictures]))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sensible_learning_rate_beats_a_hopeless_and_a_destructive_one(
    family: str, models: Models, prepared: Prepared, judge: ClipEncoder, tmp_path: Path
) -> None:
    rng = Random(11)
    references = [subject_drawing(rng, 64, b).image for b in REFERENCE_BACKGROUNDS]
    config = scoring()
    plan = plan_pictures(config, "test")
    data = prepared(family)
    scorer = Scorer(models[family], judge, config, plan, references, references)
    base = scorer.baseline
    good = trained_scores(1e-2, data, scorer, tmp_path)
    for rate in (1e-7, 0.1):
        bad = trained_scores(rate, data, scorer, tmp_path)
        gap = good.objectives - bad.objectives  # the same prompts and seeds: paired
        assert good.scores.objective - bad.scores.objective > 3 * gap.std()
    clip_i = good.per_picture["clip_i"] - base.per_picture["clip_i"]
    assert clip_i.mean() > 3 * clip_i.std() / np.sqrt(len(clip_i))
    assert share_with_subject(good) > share_with_subject(base) + 0.25
