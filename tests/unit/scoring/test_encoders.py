"""The judge: unit vectors from any CLIP or SigLIP, and clear words about everything else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertConfig, CLIPModel

from optimizer.errors import ModelError
from optimizer.scoring.encoders import ClipEncoder

CPU = torch.device("cpu")
Paint = Callable[..., Image.Image]


@pytest.fixture(params=["clip_folder", "siglip_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_pictures_and_texts_become_unit_vectors_of_one_space(folder: Path, paint: Paint) -> None:
    encoder = ClipEncoder(str(folder), CPU)
    pictures = encoder.pictures(paint(color) for color in ("red", "blue", "green"))
    texts = encoder.texts(["a red monster", "a blue one", "a red monster"])
    assert pictures.shape[0] == 3
    assert texts.shape == (3, pictures.shape[1])
    assert pictures.dtype == texts.dtype == np.float32
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(texts[0], texts[2])
    assert not np.allclose(texts[0], texts[1])


def test_vectors_are_the_models_own(clip_folder: Path, paint: Paint) -> None:
    """CLIP: projected pooled state; checked against the two halves of the model, called by hand."""
    encoder, model = ClipEncoder(str(clip_folder), CPU), CLIPModel.from_pretrained(clip_folder)
    levels = np.asarray(paint("red"), dtype=np.float32) / 255
    mean, std = np.array(encoder.preprocess.image_mean), np.array(encoder.preprocess.image_std)
    pixels = torch.tensor((levels - mean) / std).permute(2, 0, 1)[None].float()
    ids = encoder.tokenizer("red", return_tensors="pt")
    with torch.no_grad():
        picture = model.visual_projection(model.vision_model(pixels).pooler_output)
        text = model.text_projection(model.text_model(**ids).pooler_output)
    assert encoder.pictures([paint("red")]) == pytest.approx(
        (picture / picture.norm()).numpy(), abs=1e-5
    )
    assert encoder.texts(["red"]) == pytest.approx((text / text.norm()).numpy(), abs=1e-5)


def test_both_return_types_of_transformers(clip_folder: Path, paint: Paint) -> None:
    encoder = ClipEncoder(str(clip_folder), CPU)
    expected = encoder.pictures([paint("red")])
    wrapped = encoder.model.get_image_features
    encoder.model.get_image_features = lambda **inputs: wrapped(**inputs).pooler_output
    assert np.array_equal(encoder.pictures([paint("red")]), expected)


def test_batches_hold_the_order(
    clip_folder: Path, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ClipEncoder(str(clip_folder), CPU)
    images = [paint("red", place=place) for place in range(7)]
    whole = encoder.pictures(images)
    monkeypatch.setattr("optimizer.scoring.pretrained.BATCH", 3)
    assert encoder.pictures(images) == pytest.approx(whole, abs=1e-6)


def test_long_texts_are_cut_at_the_models_limit(folder: Path) -> None:
    encoder = ClipEncoder(str(folder), CPU)
    start = "abcdefgh " * 4
    found = encoder.texts([start + "red", start + "blue", start])
    assert np.array_equal(found[0], found[1])


def test_alpha_and_grey_pictures(folder: Path) -> None:
    encoder = ClipEncoder(str(folder), CPU)
    encoder.preprocess.do_convert_rgb = False  # some models say so, meaning RGB comes in
    grey, alpha = Image.new("L", (40, 20), 90), Image.new("RGBA", (20, 40), (9, 9, 9, 128))
    assert np.isfinite(encoder.pictures([grey, alpha])).all()


def test_identity_follows_the_weights_and_not_the_folder(clip_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(clip_folder, copy)
    before = ClipEncoder(str(clip_folder), CPU).identity
    assert ClipEncoder(str(copy), CPU).identity == before
    change_weights(copy, lambda tensors: tensors["logit_scale"].add_(1))
    assert ClipEncoder(str(copy), CPU).identity != before


def change_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def problem(reference: str | Path) -> str:
    with pytest.raises(ModelError) as caught:
        ClipEncoder(str(reference), CPU)
    return str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    message = problem(tmp_path / "nowhere")
    assert message.startswith(f"{tmp_path / 'nowhere'}: no such folder")
    assert "openai/clip-vit-large-patch14" in message


def test_empty_folder(tmp_path: Path) -> None:
    message = problem(tmp_path)
    assert f"{tmp_path} cannot be loaded as the judge" in message
    assert "Give clip_model a folder" in message


def test_another_kind_of_model(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    assert 'is a model of type "bert", not a CLIP or SigLIP model' in problem(tmp_path)


def test_half_of_a_clip(clip_folder: Path, tmp_path: Path) -> None:
    """The text encoder of a pipeline calls itself clip_text_model."""
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())["text_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert 'type "clip_text_model"' in problem(tmp_path)


def test_missing_weights_would_judge_at_random(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    change_weights(tmp_path, lambda tensors: tensors.pop("visual_projection.weight"))
    assert "lacks 1 of its weights, visual_projection.weight" in problem(tmp_path)


def test_damaged_weights(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    assert "cannot be loaded as the judge" in problem(tmp_path)


def test_missing_preprocessing(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "preprocessor_config.json").unlink()
    assert "cannot be loaded as the judge" in problem(tmp_path)


def test_missing_tokenizer_would_read_all_texts_alike(clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    assert "has no tokenizer files" in problem(tmp_path)


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = problem("nobody/no-such-clip")
    assert "nobody/no-such-clip cannot be loaded as the judge" in message
    assert "hf download" in message
