"""`optimizer dataset check` as people and scripts read it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from optimizer.cli.main import main
from optimizer.demo.layout import lay_out

Check = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    list(lay_out(folder))
    return folder


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    def run(*arguments: object) -> str:
        command = ["optimizer", "dataset", "check", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        try:
            main()
        except SystemExit as ended:
            assert not ended.code
        return capsys.readouterr().out

    return run


def test_study_counts_tokens(check: Check, project: Path) -> None:
    study = project / "studies" / "demo_sdxl.toml"
    assert "tokens per caption" in check(study)
    found = json.loads(check(study, "--json"))
    assert found["caption_tokens"]["largest"] >= 7
    assert found["captions_too_long"] == []
    assert found["tokens_not_counted"] is None


def test_captions_that_are_cut_off_are_named(check: Check, project: Path) -> None:
    caption = project / "data" / "demo" / "images" / "03.txt"
    before = caption.read_text()
    caption.write_text("a mivo monster on a white background " * 40)
    try:
        text = check(project / "studies" / "demo_sdxl.toml")
    finally:
        caption.write_text(before)
    assert "captions cut off at max_token_length: 1" in text
    assert "03.png" in text


def test_tokenizers_out_of_reach_are_said(
    check: Check, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    study = project / "studies" / "elsewhere.toml"
    text = (project / "studies" / "demo_sdxl.toml").read_text()
    study.write_text(text.replace("../data/demo/models/sdxl", "nobody/nothing"))
    text = check(study).replace("\n", " ")
    assert "tokens were not counted: the tokenizer of nobody/nothing is neither here" in text
    assert "pictures" in text


def test_dataset_file_has_no_tokens_but_everything_else(check: Check, tmp_path: Path) -> None:
    folder = tmp_path / "10_mivo"
    folder.mkdir()
    for number, size in enumerate([(640, 640), (900, 300), (300, 900)]):
        Image.effect_noise(size, 90).convert("RGB").save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"mivo, number {number}")
    flat = tmp_path / "flat.toml"
    flat.write_text(
        f'train_data_dir = "{tmp_path}"\nresolution = "512,512"\ncaption_extension = ".txt"\n'
        "network_dim = 32\n[optimizer]\nlearning_rate = 1e-4\n"
    )
    text = check(flat)
    assert "a dataset file names no base model" in text
    assert "pictures that lose over a fifth to their bucket: 2" in text
    found = json.loads(check(flat, "--json"))
    assert found["buckets"][0]["with_repeats"] == 30
    assert [Path(path).name for path in found["much_trimmed"]] == ["1.png", "2.png"]


def test_training_keys_of_a_flat_file_are_said_not_to_be_taken(
    check: Check, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    test_dataset_file_has_no_tokens_but_everything_else(check, tmp_path)
    assert "flat.toml: not taken from here but from the study's [training]" in caplog.text
    assert "learning_rate, network_dim" in caplog.text
