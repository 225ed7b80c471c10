"""What is said of LoRAs side by side, and the page that shows them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from optimizer.config.study import ModelConfig
from optimizer.errors import ConfigError
from optimizer.report.comparison import _base_model
from optimizer.report.comparison_page import verdict as page_verdict
from optimizer.report.comparison_page import write_page
from optimizer.report.evaluation import verdict
from optimizer.scoring.compare import differences
from optimizer.scoring.health import Health
from optimizer.scoring.objective import Anchors, score
from optimizer.scoring.scorer import Picture, Scored


def scored(clip_i: Any, *, bad: int = 0, colour: str = "red") -> Scored:
    """Two prompts of four pictures each."""

    def eight(value: Any) -> Any:
        return np.broadcast_to(np.float32(value), 8).copy()

    values = {"clip_i": eight(clip_i), "clip_t": eight(0.3), "preservation": eight(0.3)}
    base = {name: eight(0.2) for name in values}
    found, spread = score(values, Anchors(base, 0.8), "balanced", 4, Health(16, bad, 0, 0))
    image = Image.new("RGB", (16, 16), colour)
    pictures = tuple(
        Picture(image, f"a <b> & prompt {k // 4}", "x", k, 0.25, float(values["clip_i"][k]))
        for k in range(8)
    )
    return Scored(found, pictures, pictures, values, spread)


def test_the_best_is_named_with_its_lead() -> None:
    said = verdict({"base model": scored(0.2), "early": scored(0.5), "late": scored(0.6)})
    assert said.startswith("best: late, 0.")
    assert "ahead of early" in said
    assert said.endswith("beyond noise)")


def test_a_lead_within_noise_is_called_that() -> None:
    up_and_down = np.tile([0.6, 0.4], 4)
    noisy = {"early": scored(up_and_down), "late": scored(up_and_down[::-1] + 0.01)}
    assert verdict(noisy).endswith("within noise)")


def test_black_pictures_never_win() -> None:
    said = verdict({"base model": scored(0.2), "good": scored(0.5), "bad": scored(0.7, bad=12)})
    assert "bad: of 16 pictures 12 are black" in said
    assert "best: good" in said


@pytest.fixture
def page(tmp_path: Path) -> str:
    sides = [("sd15: <one>", scored(0.5)), ("sdxl: two", scored(0.6, colour="blue"))]
    names = (sides[0][0], sides[1][0])
    found = differences(sides[0][1], sides[1][1])
    write_page(tmp_path / "index.html", sides, [(names, found)])
    return (tmp_path / "index.html").read_text()


def test_the_page_needs_no_other_file(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert len(sources) == 16
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert "http" not in page


def test_the_page_shows_prompts_scores_and_verdicts(page: str) -> None:
    assert page.count("a &lt;b&gt; &amp; prompt 0</h2>") == 1, "escaped, once per prompt"
    assert "sd15: &lt;one&gt;" in page
    assert "sdxl: two is better than sd15: &lt;one&gt; by 0." in page
    assert "I 0.500 seed 3" in page


def test_what_pictures_do_not_tell_apart() -> None:
    same = differences(scored(0.5), scored(0.5))
    assert page_verdict(("a", "b"), same) == "a and b are not told apart by these pictures."


def test_a_base_model_is_of_the_family_its_folder_says(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    used = ModelConfig(family="sdxl", pretrained_model_name_or_path="some/model")
    assert _base_model(str(tmp_path), [used]).family == "sd15"
    assert _base_model("some/model", [used]) is used
    with pytest.raises(ConfigError, match="other/model: give the folder of a base model"):
        _base_model("other/model", [used])
    with pytest.raises(ConfigError, match="no such folder"):
        _base_model(str(tmp_path / "nope"), [used])
