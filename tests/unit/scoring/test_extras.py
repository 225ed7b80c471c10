"""Metrics beyond CLIP's, on tiny real models: the published formulas, and words when one lacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    BitImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)

from optimizer.config.scoring import ScoringConfig
from optimizer.errors import ModelError
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.aesthetic import AestheticMetric
from optimizer.scoring.compare import differences
from optimizer.scoring.dino import DinoMetric
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.extras import extra_metrics
from optimizer.scoring.pick_score import PickScoreMetric
from optimizer.scoring.prompts import plan_pictures
from optimizer.scoring.scorer import Scorer

CPU = torch.device("cpu")
Paint = Callable[..., Image.Image]
TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


@pytest.fixture(params=["plain", "registers"])
def dino_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    if request.param == "plain":
        Dinov2Model(Dinov2Config(**TINY)).save_pretrained(tmp_path)
    else:
        Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**TINY)).save_pretrained(tmp_path)
    size = {"height": 28, "width": 28}
    BitImageProcessorPil(size={"shortest_edge": 30}, crop_size=size).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def encoder(clip_folder: Path) -> ClipEncoder:
    return ClipEncoder(str(clip_folder), CPU)


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """Two layers over the 12 numbers of the tiny CLIP, named as LAION's."""
    torch.manual_seed(3)
    tensors = {
        "layers.0.weight": torch.randn(4, 12),
        "layers.0.bias": torch.randn(4),
        "layers.10.weight": torch.randn(1, 4),
        "layers.10.bias": torch.randn(1),
    }
    file = tmp_path / "head.safetensors"
    save_file(tensors, file)
    return file


def test_dino_compares_class_tokens_with_all_references(dino_folder: Path, paint: Paint) -> None:
    references = [paint("red"), paint("blue", place=2)]
    metric = DinoMetric(str(dino_folder), CPU, references)
    drawn = [paint("green"), paint("red")]

    def token(image: Image.Image) -> Any:
        with torch.no_grad():
            state = metric.model(**metric.preprocess(images=image, return_tensors="pt"))
        vector = state.last_hidden_state[0, 0]
        return vector / vector.norm()

    expected = [np.mean([float(token(d) @ token(r)) for r in references]) for d in drawn]
    assert metric(drawn, ["", ""]) == pytest.approx(expected, abs=1e-5)


def test_dino_tells_its_weights_apart(dino_folder: Path, tmp_path: Path, paint: Paint) -> None:
    before = DinoMetric(str(dino_folder), CPU, [paint("red")]).identity
    model = Dinov2Model(Dinov2Config(**TINY))
    model.save_pretrained(dino_folder)
    assert DinoMetric(str(dino_folder), CPU, [paint("red")]).identity != before


def test_pick_score_is_the_scaled_cosine(clip_folder: Path, paint: Paint) -> None:
    metric = PickScoreMetric(str(clip_folder), CPU)
    images, texts = [paint("red"), paint("blue")], ["red", "a blue thing"]
    scale = float(CLIPModel.from_pretrained(clip_folder).logit_scale.detach().exp())
    cosines = metric.encoder.pictures(images) @ metric.encoder.texts(texts).T
    assert scale > 2
    assert metric(images, texts) == pytest.approx(scale * np.diag(cosines), rel=1e-5)


def test_aesthetic_head_is_a_chain_of_linear_layers(
    head: Path, encoder: ClipEncoder, paint: Paint
) -> None:
    from safetensors.torch import load_file

    layers = {name: tensor.numpy() for name, tensor in load_file(head).items()}
    images = [paint("red"), paint("blue")]
    hidden = encoder.pictures(images) @ layers["layers.0.weight"].T + layers["layers.0.bias"]
    expected = hidden @ layers["layers.10.weight"].T + layers["layers.10.bias"]
    assert AestheticMetric(head, encoder)(images, []) == pytest.approx(expected[:, 0], abs=1e-5)


def said(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    return str(caught.value)


def test_missing_models_say_what_to_download(
    tmp_path: Path, encoder: ClipEncoder, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    dino = said(lambda: DinoMetric(str(nowhere), CPU, []))
    assert dino.startswith(f"{nowhere}: no such folder. Give dino_model a folder")
    assert "hf download facebook/dinov2-small" in dino
    assert 'type "clip", not a DINOv2 model' in said(lambda: DinoMetric(str(clip_folder), CPU, []))
    pick = said(lambda: PickScoreMetric(str(nowhere), CPU))
    assert "hf download yuvalkirstain/PickScore_v1" in pick
    head = said(lambda: AestheticMetric(nowhere, encoder))
    assert "improved-aesthetic-predictor" in head
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "cannot be loaded as dino_model" in said(lambda: DinoMetric("nobody/dino", CPU, []))


def test_heads_that_do_not_fit(tmp_path: Path, encoder: ClipEncoder) -> None:
    file = tmp_path / "head.safetensors"
    save_file({"layers.0.weight": torch.ones(1, 768), "layers.0.bias": torch.ones(1)}, file)
    assert "embeddings of 768 numbers, but clip_model" in said(
        lambda: AestheticMetric(file, encoder)
    )
    save_file({"layers.0.weight": torch.ones(3, 12), "layers.0.bias": torch.ones(3)}, file)
    assert "do not end in one number" in said(lambda: AestheticMetric(file, encoder))
    file.write_bytes(b"pickle")
    assert "not a readable .safetensors file" in said(lambda: AestheticMetric(file, encoder))


def test_a_study_scores_with_all_it_asks_for(
    sd15: PipelineModel,
    settings: Callable[..., ScoringConfig],
    dino_folder: Path,
    clip_folder: Path,
    head: Path,
    encoder: ClipEncoder,
    paint: Paint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optimizer.scoring.scorer.rebuilt", lambda model, image, side: image)
    folder = str(dino_folder)
    config = settings(dino_model=folder, pick_score_model=str(clip_folder), aesthetic_head=head)
    references = [paint("red", place=place) for place in (4, 8, 12)]
    extras = extra_metrics(config, encoder, references)
    plan = plan_pictures(config, "study.toml")
    scored = Scorer(sd15, encoder, config, plan, references, [paint("red")], None, extras).score()
    for name in ("dino_i", "pick_score", "aesthetic"):
        assert scored.per_picture[name].shape == (4,)
        assert scored.scores.parts[name].value == pytest.approx(scored.per_picture[name].mean())
    assert {"dino_i", "pick_score", "aesthetic"} < {d.metric for d in differences(scored, scored)}
    assert extra_metrics(settings(), encoder, references) == ()
