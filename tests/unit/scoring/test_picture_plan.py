"""What is drawn: filled placeholders, prompts as the judge reads them, and seeds that stay."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.config.scoring import ScoringConfig
from optimizer.errors import ConfigError
from optimizer.scoring.prompt_files import read_prompts
from optimizer.scoring.prompts import picture_seed, plan_pictures, without_trigger

Settings = Callable[..., ScoringConfig]


def test_a_picture_for_every_prompt_and_image(settings: Settings) -> None:
    plan = plan_pictures(settings(), "study.toml")
    assert [(p.prompt, p.judged) for p in plan.subject] == [
        ("a mivo monster on red", "a monster on red"),
        ("a mivo monster on red", "a monster on red"),
        ("mivo monster, blue", "monster, blue"),
        ("mivo monster, blue", "monster, blue"),
    ]
    assert [p.prompt for p in plan.preservation] == [p.judged for p in plan.subject]
    assert all(p.prompt == p.judged for p in plan.preservation)
    seeds = [p.seed for p in (*plan.subject, *plan.preservation)]
    assert len(set(seeds)) == 8, "a prompt that never had the trigger would be drawn twice"


@pytest.mark.parametrize("name", ["dreambooth_live", "dreambooth_object"])
def test_prompts_that_ship(settings: Settings, name: str) -> None:
    plan = plan_pictures(settings(prompts=name, num_images_per_prompt=1), "study.toml")
    prompts = [picture.prompt for picture in plan.subject]
    assert len(set(prompts)) == 25
    assert "a mivo monster in the jungle" in prompts
    assert "a cube shaped mivo monster" in prompts
    assert ("a mivo monster in a chef outfit" in prompts) == (name == "dreambooth_live")
    assert all("mivo" not in picture.judged for picture in plan.subject)


def test_seeds_stay_when_prompts_and_images_are_added(settings: Settings) -> None:
    few = plan_pictures(settings(), "")
    more = plan_pictures(
        settings(prompts=(*settings().prompts, "{trigger} again"), num_images_per_prompt=3), ""
    )
    by_prompt = [[p.seed for p in more.subject if p.prompt == q.prompt] for q in few.subject[::2]]
    assert [p.seed for p in few.subject] == [s for seeds in by_prompt for s in seeds[:2]]


def test_seeds_of_another_study_share_nothing(settings: Settings) -> None:
    """Finals draw with fresh seeds; neighbouring study seeds must not overlap."""
    many = {"num_images_per_prompt": 50}
    drawn = [
        {p.seed for p in plan_pictures(settings(seed=seed, **many), "").subject} for seed in (0, 1)
    ]
    assert not drawn[0] & drawn[1]


def test_a_seed_is_for_ever() -> None:
    """Stored studies are continued: a changed formula would mix two sets of pictures."""
    assert picture_seed(0, "subject", 0, 0) == 358214310


@pytest.mark.parametrize(
    ("prompt", "judged"),
    [
        ("a mivo monster on red", "a monster on red"),
        ("mivo, monster, smiling", "monster, smiling"),
        ("a monster mivo", "a monster"),
        ("portrait of Mivo", "portrait of monster"),
        ("a monster beside a house", "a monster beside a house"),
        ("mivos and mivo", "mivos and monster"),
        ("a remivo", "a remivo"),
        ("mivo and mivo monster", "monster and monster"),
    ],
)
def test_the_judge_reads_the_class_word_once(prompt: str, judged: str) -> None:
    assert without_trigger(prompt, "mivo", "monster") == judged


def test_a_trigger_with_signs_is_taken_literally() -> None:
    assert without_trigger("a m.v* (cat)", "m.v*", r"\1 cat") == r"a \1 cat (cat)"
    assert without_trigger("a mivo", "m.v*", "cat") == "a mivo"


def test_own_preservation_prompts(settings: Settings) -> None:
    plan = plan_pictures(settings(preservation_prompts=("a {class}", "a house", "a dog")), "")
    assert [p.prompt for p in plan.preservation[::2]] == ["a monster", "a house", "a dog"]


def test_preservation_prompts_have_no_trigger(settings: Settings) -> None:
    config = settings(preservation_prompts=("a house", "a {trigger}", "mivo"))
    with pytest.raises(ConfigError) as caught:
        plan_pictures(config, "study.toml")
    assert [p.split(";")[0] for p in caught.value.problems] == [
        f"study.toml: scoring.preservation_prompts holds the trigger in prompt {n}" for n in (2, 3)
    ]


def test_text_file(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("﻿# remark\n\n a {trigger}  \n# more\n{class} é 漢\n", encoding="utf-8")
    assert read_prompts(file) == ["a {trigger}", "{class} é 漢"]
    assert plan_pictures(settings(prompts=str(file)), "").subject[0].prompt == "a mivo"


def test_toml_files(tmp_path: Path) -> None:
    file = tmp_path / "prompts.toml"
    file.write_text('name = "x"\nprompts = ["one", "two"]\n')
    assert read_prompts(file) == ["one", "two"]
    file.write_text('portrait = ["one", "two"]\n[[full]]\nprompt = "three"\nnegative = "no"\n')
    assert read_prompts(file) == ["one", "two", "three"]


def test_json_files(tmp_path: Path) -> None:
    file = tmp_path / "prompts.JSON"
    for data in (
        ["one", "two"],
        [{"prompt": "one"}, {"prompt": "two", "negative": "no"}],
        {"portrait": ["one"], "full body": ["two"]},
        {"portrait": [{"prompt": "one"}], "far": [{"prompt": "two"}]},
    ):
        file.write_text(json.dumps(data))
        assert read_prompts(file) == ["one", "two"]


def test_the_guides_json_categories(tmp_path: Path) -> None:
    """Its files hold much beside prompts: names, negatives, tags."""
    data = {
        "film": "Luca (2021)",
        "base_negative": "2d, anime",
        "test_prompts": [
            {"category": "portrait", "prompts": [{"positive": "one", "negative": "{{x}}, no"}]},
            {"category": "far", "prompts": [{"positive": "two", "negative": "{{x}}"}]},
        ],
        "quality_tags": ["masterpiece"],
        "metadata": {"version": 1.0},
    }
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(data))
    assert read_prompts(file) == ["one", "two"]


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_prompts(file)
    return [problem.removeprefix(f"{file}: ") for problem in caught.value.problems]


def test_problems_name_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("# remark\na {trigger}\na {triger}\n\na boy --n ugly --w 512\nlone { brace\n")
    assert problems(file) == [
        "line 3 has the unknown placeholder {triger}; known are {trigger} and {class}",
        "line 5 has the option --n; set such things in [scoring], for all prompts",
        "line 6 has a lone brace; known are {trigger} and {class}",
    ]
    file = tmp_path / "prompts.json"
    file.write_text('{\n"a": [\n"one",\n"a {x}", "é {y}"]}')
    assert [p.split(";")[0] for p in problems(file)] == [
        "line 4 has the unknown placeholder {x}",
        "line 4 has the unknown placeholder {y}",
    ]
    file.write_text(json.dumps(["é {y}", " "]))
    assert problems(file) == [
        'prompt "é {y}" has the unknown placeholder {y}; known are {trigger} and {class}',
        "line 1 is empty",
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.txt", "", "holds no prompts"),
        ("p.txt", "\n# only a remark\n", "holds no prompts"),
        ("p.json", "{}", "holds no prompts"),
        ("p.json", "{", "is not valid JSON"),
        ("p.toml", "a = ", "is not valid TOML"),
        ("p.json", "[1]", "holds 1 where a prompt in quotes should be"),
    ],
)
def test_files_without_prompts(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    assert problems(tmp_path / name)[0].startswith(problem)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.txt") == ["no such file"]
    assert problems(tmp_path) == ["is a folder, not a file of prompts"]
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe\x00")
    assert problems(tmp_path / "p.txt") == ["is not UTF-8 text (byte 0); save it as UTF-8"]
