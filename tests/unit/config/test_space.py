"""Search space files: what they may say, and the sentence for what they may not."""

from pathlib import Path
from typing import Any

import pytest

from optimizer.config.space import CategoricalParameter, load_space
from optimizer.errors import ConfigError

SPACES = Path(__file__).parents[3] / "search_spaces"
RATE = '[parameters.learning_rate]\ntype = "float"\nlow = 1e-5\nhigh = 1e-3\n'


def problems(text: str, folder: Path) -> tuple[str, ...]:
    path = folder / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_space(path)
    assert all(problem.startswith(f"{path}: ") for problem in refused.value.problems)
    return tuple(problem.removeprefix(f"{path}: ") for problem in refused.value.problems)


ORIGIN: dict[str, dict[str, Any]] = {
    "network_dim": {"choices": (64, 128, 256)},
    "network_alpha": {"ratio_of": "network_dim", "low": 0.25, "high": 0.90, "step": 0.05},
    "learning_rate": {"low": 6e-5, "high": 1.2e-4, "log": True},
    "text_encoder_lr": {"low": 3.5e-5, "high": 8e-5, "log": True},
    "optimizer_type": {"choices": ("AdamW", "AdamW8bit", "Lion")},
    "lr_scheduler": {"choices": ("cosine_with_restarts", "polynomial")},
    "gradient_accumulation_steps": {"choices": (2, 3, 4)},
    "max_train_epochs": {"choices": (12, 14, 16)},
    "lr_warmup_steps": {"low": 100, "high": 200, "step": 50},
    "lr_scheduler_num_cycles": {
        "low": 2,
        "high": 3,
        "when": {"lr_scheduler": ("cosine_with_restarts",)},
    },
}


def test_sd15_space_is_the_origins_whole_table() -> None:
    parameters = load_space(SPACES / "sd15_character.toml").parameters
    assert {
        name: parameter.model_dump(exclude_defaults=True, exclude={"type"})
        for name, parameter in parameters.items()
    } == ORIGIN


def test_origins_first_space_has_its_wider_ranges() -> None:
    space = load_space(SPACES / "sd15_character_v1.toml")
    dim, epochs = space.parameters["network_dim"], space.parameters["max_train_epochs"]
    assert isinstance(dim, CategoricalParameter)
    assert isinstance(epochs, CategoricalParameter)
    assert (dim.choices, epochs.choices) == ((64, 96, 128, 192, 256), (8, 10, 12, 15))
    assert [constraint.rule for constraint in space.constraints] == ["network_alpha <= network_dim"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("low = 2.0\nhigh = 1.0", "low 2.0 is above high 1.0"),
        ("low = 0.0\nhigh = 1.0\nlog = true", "a log scale needs low above 0, found 0.0"),
        ("low = 1.0\nhigh = 2.0\nlog = true\nstep = 0.5", "log and step exclude each other"),
    ],
)
def test_ranges_that_contradict_themselves_are_refused(
    lines: str, problem: str, tmp_path: Path
) -> None:
    text = f'[parameters.learning_rate]\ntype = "float"\n{lines}\n'
    assert problems(text, tmp_path) == (f"parameters.learning_rate: {problem}",)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("low = 1", "parameters.network_dim.high is missing"),
        ("low = 1.5\nhigh = 3", "parameters.network_dim.low must be an integer, found 1.5"),
        (
            "low = 1\nhigh = 3\nstep = 0",
            "parameters.network_dim.step must be greater than 0, found 0",
        ),
        (
            "low = 1\nhigh = 3\nsteps = 1",
            "parameters.network_dim.steps is not a known key; did you mean step?",
        ),
    ],
)
def test_mistakes_in_a_parameter_name_its_key(lines: str, problem: str, tmp_path: Path) -> None:
    text = f'[parameters.network_dim]\ntype = "int"\n{lines}\n'
    assert problems(text, tmp_path) == (problem,)


def test_unknown_names_are_told_with_what_was_meant(tmp_path: Path) -> None:
    (found,) = problems(RATE.replace("learning_rate", "learning_rat"), tmp_path)
    assert "learning_rat is not a hyperparameter; did you mean learning_rate?" in found


@pytest.mark.parametrize("line", ['ratio_of = "network_dims"', "when = { network_dims = [8] }"])
def test_unknown_names_that_a_parameter_refers_to_are_told(line: str, tmp_path: Path) -> None:
    (found,) = problems(RATE + line, tmp_path)
    assert "learning_rate refers to network_dims" in found
    assert found.endswith("did you mean network_dim?")


def test_a_choice_among_nothing_and_an_empty_space_are_refused(tmp_path: Path) -> None:
    choice = '[parameters.network_dim]\ntype = "categorical"\nchoices = []'
    assert (
        "parameters.network_dim.choices must have at least 1 item" in problems(choice, tmp_path)[0]
    )
    assert "parameters must have at least 1 item" in problems("[parameters]", tmp_path)[0]
    assert problems("", tmp_path) == ("parameters is missing",)


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    text = RATE.replace("high", "hihg") + '[parameters.network_dim]\ntype = "choice"\n'
    found = problems(text, tmp_path)
    assert [problem.split()[0] for problem in found] == [
        "parameters.learning_rate.high",
        "parameters.learning_rate.hihg",
        "parameters.network_dim.type",
    ]


def test_a_constraint_needs_its_reason(tmp_path: Path) -> None:
    text = RATE + '[[constraints]]\nrule = "learning_rate < 1"\n'
    assert problems(text, tmp_path) == ("constraints[0].reason is missing",)
