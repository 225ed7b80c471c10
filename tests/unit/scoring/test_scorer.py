"""Scoring a model as it is now, against the bare base and real pictures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.errors import DatasetError
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.compare import differences
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.objective import Scores
from optimizer.scoring.prompts import plan_pictures
from optimizer.scoring.scorer import Scored, Scorer

METRICS = {"clip_t", "clip_i", "preservation", "leak", "diversity", "copy_rate"}
Settings = Callable[..., ScoringConfig]
Paint = Callable[..., Image.Image]
MakeScorer = Callable[..., Scorer]


@pytest.fixture(scope="session")
def encoder(clip_folder: Path) -> ClipEncoder:
    return ClipEncoder(str(clip_folder), torch.device("cpu"))


@pytest.fixture
def make_scorer(
    encoder: ClipEncoder, settings: Settings, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> MakeScorer:
    # A VAE with random weights makes noise of real pictures; one that is trained loses little.
    monkeypatch.setattr("optimizer.scoring.scorer.rebuilt", lambda model, image, side: image)

    def make(model: PipelineModel, cache: Path | None = None, **changes: object) -> Scorer:
        config = settings(**changes)
        references = [paint("red", place=place) for place in (4, 8, 12)]
        training = (paint("red", place=place) for place in (5, 9))
        plan = plan_pictures(config, "study.toml")
        return Scorer(model, encoder, config, plan, references, training, cache)

    return make


def disturb(model: PipelineModel) -> None:
    """An adapter with random weights on the UNet."""
    torch.manual_seed(7)
    lora = LoraConfig(r=4, lora_alpha=16, target_modules=["to_k"], init_lora_weights=False)
    model.pipeline.unet.add_adapter(lora, "lora")


def same(a: Scored, b: Scored) -> bool:
    pixels = zip(a.pictures, b.pictures, strict=True)
    return a.scores == b.scores and all(p.image.tobytes() == q.image.tobytes() for p, q in pixels)


def test_scored_pictures_and_parts(model: PipelineModel, make_scorer: MakeScorer) -> None:
    scorer = make_scorer(model)
    scored = scorer.score()
    assert [p.prompt for p in scored.pictures[::2]] == [
        "a mivo monster on red",
        "mivo monster, blue",
    ]
    assert scored.pictures[0].judged == "a monster on red"
    assert [p.prompt for p in scored.preservation_pictures[::2]] == [
        "a monster on red",
        "monster, blue",
    ]
    parts = scored.scores.parts
    assert parts["clip_t"].value == pytest.approx(np.mean([p.clip_t for p in scored.pictures]))
    assert parts["leak"].value == pytest.approx(
        np.mean([p.clip_i for p in scored.preservation_pictures])
    )
    assert set(parts) > METRICS
    assert "cmmd" not in parts, "four pictures are too few"
    assert scored.scores.health.pictures == 8
    assert Scores.from_dict(json.loads(json.dumps(scored.scores.as_dict()))) == scored.scores


def test_every_picture_is_judged_by_its_own_prompt(
    sd15: PipelineModel, make_scorer: MakeScorer, encoder: ClipEncoder
) -> None:
    for picture in make_scorer(sd15).score().pictures:
        image, text = encoder.pictures([picture.image]), encoder.texts([picture.judged])
        assert picture.clip_t == pytest.approx(float((image @ text.T)[0, 0]), abs=1e-5)


def test_scoring_twice_gives_identical_numbers(
    model: PipelineModel, make_scorer: MakeScorer
) -> None:
    scorer = make_scorer(model)
    _ = scorer.anchors
    disturb(model)
    first = scorer.score()
    assert same(first, scorer.score())
    assert not same(first, scorer.baseline)


def test_the_base_without_lora_scores_nothing(
    model: PipelineModel, make_scorer: MakeScorer
) -> None:
    scorer = make_scorer(model)
    baseline = scorer.baseline
    assert baseline.scores.objective == 0
    assert baseline.scores.parts["subject"].value == 0
    assert same(baseline, scorer.score())


def test_the_base_is_never_drawn_with_an_adapter_on(
    sd15: PipelineModel, make_scorer: MakeScorer
) -> None:
    disturb(sd15)
    with pytest.raises(RuntimeError, match="before adapters are put on"):
        make_scorer(sd15).score()


def test_anchors_come_from_the_disk_the_second_time(
    sd15: PipelineModel,
    make_scorer: MakeScorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = make_scorer(sd15, tmp_path)
    scored = first.score()
    assert len(list(tmp_path.iterdir())) == 1
    # Nothing is drawn for them, so that an adapter on the model does no harm.
    disturb(sd15)
    again = make_scorer(sd15, tmp_path)
    assert again.anchors.clip_i_ceiling == first.anchors.clip_i_ceiling
    for name, values in first.anchors.base.items():
        assert np.array_equal(again.anchors.base[name], values)
    assert again.score().scores != scored.scores


@pytest.mark.parametrize(
    "change", [{"num_inference_steps": 3}, {"seed": 1}, {"trigger": "sks"}, {"sampler": "euler"}]
)
def test_other_settings_have_other_anchors(
    sd15: PipelineModel, make_scorer: MakeScorer, tmp_path: Path, change: dict[str, object]
) -> None:
    _ = make_scorer(sd15, tmp_path).anchors
    _ = make_scorer(sd15, tmp_path, batch_size=1, preset="style").anchors
    assert len(list(tmp_path.iterdir())) == 1
    _ = make_scorer(sd15, tmp_path, **change).anchors
    assert len(list(tmp_path.iterdir())) == 2


def test_other_weights_or_references_have_other_anchors(
    sd15: PipelineModel, sdxl: PipelineModel, make_scorer: MakeScorer, tmp_path: Path, paint: Paint
) -> None:
    for model in (sd15, sdxl):
        _ = make_scorer(model, tmp_path).anchors
    assert len(list(tmp_path.iterdir())) == 2
    scorer = make_scorer(sd15, tmp_path)
    scorer.reference_images[0] = paint("red", place=5)
    _ = scorer.anchors
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_cache_is_drawn_anew(
    sd15: PipelineModel, make_scorer: MakeScorer, tmp_path: Path
) -> None:
    _ = make_scorer(sd15, tmp_path).anchors
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:20])
    _ = make_scorer(sd15, tmp_path).anchors
    assert file.read_bytes() == whole


def test_redrawn_has_fresh_seeds_and_more_pictures(
    sd15: PipelineModel, make_scorer: MakeScorer
) -> None:
    scorer = make_scorer(sd15)
    few = scorer.baseline
    again = scorer.redrawn(4)
    many = again.baseline
    assert len(many.pictures) == 4 * len(few.pictures)
    assert [p.judged for p in many.pictures[::8]] == [p.judged for p in few.pictures[::2]]
    assert not {p.seed for p in many.pictures} & {p.seed for p in few.pictures}
    assert many.scores.objective == 0, "measured against a base of its own"
    assert len(again.anchors.base["clip_t"]) == 16
    assert len(scorer.anchors.base["clip_t"]) == 4, "the search's own scorer is as it was"
    assert [p.seed for p in scorer.redrawn(4).baseline.pictures] == [p.seed for p in many.pictures]


def test_no_references(
    sd15: PipelineModel, encoder: ClipEncoder, settings: Settings, paint: Paint
) -> None:
    plan = plan_pictures(settings(), "study.toml")
    with pytest.raises(DatasetError, match="no reference pictures"):
        Scorer(sd15, encoder, settings(), plan, [], [paint("red")])


def test_cmmd_from_64_pictures_up(sd15: PipelineModel, make_scorer: MakeScorer) -> None:
    scored = make_scorer(sd15, num_images_per_prompt=32, num_inference_steps=1).score()
    part = scored.scores.parts["cmmd"]
    assert part.value > 0
    assert part.standard_error > 0


def test_differences_are_paired(sd15: PipelineModel, make_scorer: MakeScorer) -> None:
    scorer = make_scorer(sd15)
    base = scorer.baseline
    disturb(sd15)
    lora = scorer.score()
    found = {d.metric: d for d in differences(base, lora)}
    assert set(found) == {"objective", *METRICS}
    for metric in METRICS:
        d = found[metric]
        per_picture = lora.per_picture[metric] - base.per_picture[metric]
        assert d.difference == pytest.approx(float(per_picture.mean()), abs=1e-6)
        assert per_picture.min() - 1e-6 <= d.low <= d.difference + 1e-6
        assert d.difference - 1e-6 <= d.high <= per_picture.max() + 1e-6
        assert d.as_dict()["is_clear"] == (d.low > 0 or d.high < 0)
    nothing = differences(lora, lora)
    assert all(d.difference == d.low == d.high == 0 and not d.is_clear for d in nothing)


def test_only_pictures_of_one_plan_are_compared(
    sd15: PipelineModel, make_scorer: MakeScorer
) -> None:
    one, other = make_scorer(sd15).score(), make_scorer(sd15, seed=1).score()
    with pytest.raises(ValueError, match="same prompts and seeds"):
        differences(one, other)


def test_one_picture_a_prompt_has_no_diversity(
    make_scorer: MakeScorer, sd15: PipelineModel
) -> None:
    scores = make_scorer(sd15, num_images_per_prompt=1).score().scores
    assert METRICS - set(scores.parts) == {"diversity"}
    assert scores.counts["pictures_per_prompt"] == 1
