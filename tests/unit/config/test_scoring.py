"""The [scoring] table: defaults, prompts as list or file, and one sentence for what is wrong."""

from pathlib import Path
from typing import Any

import pytest

from optimizer.config.base import parse
from optimizer.config.scoring import ScoringConfig, prompt_problem
from optimizer.errors import ConfigError

LEAST: dict[str, Any] = {
    "clip_model": "openai/clip-vit-large-patch14",
    "trigger": "luca",
    "class_word": "boy",
    "prompts": ["a {trigger} {class}"],
}


def parsed(folder: Path = Path("studies"), **changes: Any) -> ScoringConfig:
    return parse(ScoringConfig, LEAST | changes, folder / "x.toml")


def problems(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parsed(**changes)
    return [problem.removeprefix("studies/x.toml: ") for problem in caught.value.problems]


def test_defaults() -> None:
    config = parsed()
    assert config.prompts == ("a {trigger} {class}",)
    assert (config.num_images_per_prompt, config.batch_size) == (1, 8)
    assert (config.num_inference_steps, config.guidance_scale, config.sampler) == (20, 7.0, "model")
    assert (config.preset, config.strength, config.seed) == ("balanced", 1.0, 0)
    assert config.preservation_prompts is config.reference_dir is config.resolution is None


def test_paths_are_resolved_against_the_file(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    config = parsed(tmp_path, prompts="p.txt", reference_dir="refs", clip_model="judge")
    assert config.prompts == tmp_path / "p.txt"
    assert config.reference_dir == tmp_path / "refs"
    assert config.clip_model == str(tmp_path / "judge")
    assert parsed(tmp_path).clip_model == "openai/clip-vit-large-patch14", "a hub id"


def test_prompts_that_ship_need_no_file(tmp_path: Path) -> None:
    (tmp_path / "dreambooth_live").mkdir()
    assert parsed(tmp_path, prompts="dreambooth_live").prompts == "dreambooth_live"
    stored = parsed(prompts="dreambooth_object").model_dump(mode="json")
    assert ScoringConfig.model_validate(stored, strict=False).prompts == "dreambooth_object"
    assert parsed(tmp_path, prompts="dreambooth.txt").prompts == tmp_path / "dreambooth.txt"


def test_words_are_trimmed() -> None:
    assert parsed(trigger=" luca ").trigger == "luca"
    assert problems(trigger=" ") == ['trigger must have at least 1 character, found " "']


def test_json_for_the_database() -> None:
    data = parsed().model_dump(mode="json")
    assert ScoringConfig.model_validate(data, strict=False) == parsed()


def test_prompts_are_checked_with_the_file() -> None:
    assert problems(prompts=["a {trigger}", "a {clas}"]) == [
        "prompts must be usable prompts, but prompt 2 has the unknown placeholder {clas}; "
        "known are {trigger} and {class}, found an array"
    ]
    assert problems(preservation_prompts=["a dog --w 512"])[0].startswith(
        "preservation_prompts must be usable prompts, but prompt 1 has the option --w"
    )
    assert problems(prompts=[])[0].startswith("prompts must have at least 1 item")
    assert problems(prompts=3) == ["prompts must be an array, found 3"]


def test_diversity_needs_two_pictures_a_prompt() -> None:
    wanted = {"objectives": ["clip_t", "diversity"]}
    assert parsed(**wanted, num_images_per_prompt=2).objectives == ("clip_t", "diversity")
    (problem,) = problems(**wanted)
    assert "set num_images_per_prompt to 2 or more" in problem


def test_all_problems_at_once() -> None:
    found = problems(sampler="eulr", batch_size=0, strength=0, preset="best", steps=3)
    assert [problem.split()[0] for problem in found] == [
        "sampler",
        "strength",
        "batch_size",
        "preset",
        "steps",
    ]
    assert found[0].endswith("did you mean euler?")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("a {trigger} {class}", None),
        ("a dog -- a cat --- and a--b", None),
        ("", "is empty"),
        ("a { b", "has a lone brace; known are {trigger} and {class}"),
        ("a {Trigger}", "has the unknown placeholder {Trigger}; known are {trigger} and {class}"),
        ("{{trigger}}", "has the unknown placeholder {}; known are {trigger} and {class}"),
        ("a --d 3", "has the option --d; set such things in [scoring], for all prompts"),
    ],
)
def test_prompt_problems(template: str, problem: str | None) -> None:
    assert prompt_problem(template) == problem
