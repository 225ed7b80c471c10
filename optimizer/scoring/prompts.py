"""What is drawn: prompts with their placeholders filled in, and a seed for every picture."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.config.base import read_toml
from optimizer.config.scoring import ScoringConfig
from optimizer.errors import ConfigError

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_KNOWN = ("trigger", "class")


@dataclass(frozen=True)
class PlannedPicture:
    """One picture to draw. `judged` is what the judge reads: it never saw the trigger."""

    prompt: str
    judged: str
    seed: int


@dataclass(frozen=True)
class PromptSet:
    """With the trigger, and the same without it: does the subject leak into the class?"""

    subject: tuple[PlannedPicture, ...]
    preservation: tuple[PlannedPicture, ...]


def plan_pictures(config: ScoringConfig, source: str) -> PromptSet:
    """All pictures of a scoring, prompt by prompt.

    A picture's seed depends on its prompt's place and its own, so that every LoRA of a study
    starts from the same noise, and prompts added at the end change nothing before them.

    Raises:
        ConfigError: an unknown placeholder, or a prompts file that cannot be used.
    """
    prompts = _prompts(config.prompts, source)
    drawn = [_filled(p, config.trigger, config.class_word) for p in prompts]
    judged = [_without_trigger(p, config.class_word) for p in prompts]
    seeds = [
        [config.seed + 1000 * place + image for image in range(config.num_images_per_prompt)]
        for place in range(len(prompts))
    ]
    return PromptSet(_planned(drawn, judged, seeds), _planned(judged, judged, seeds))


def _planned(
    drawn: Sequence[str], judged: Sequence[str], seeds: Sequence[Sequence[int]]
) -> tuple[PlannedPicture, ...]:
    rows = zip(drawn, judged, seeds, strict=True)
    return tuple(PlannedPicture(p, j, seed) for p, j, own in rows for seed in own)


def _filled(prompt: str, trigger: str, class_word: str) -> str:
    return prompt.replace("{trigger}", trigger).replace("{class}", class_word)


def _without_trigger(prompt: str, class_word: str) -> str:
    """`a {trigger} {class}` becomes `a monster`; a trigger that stands alone becomes the class."""
    stripped = prompt.replace("{trigger} {class}", "{class}").replace("{trigger}", "{class}")
    return stripped.replace("{class}", class_word)


def _prompts(given: tuple[str, ...] | Path, source: str) -> list[str]:
    if isinstance(given, Path):
        prompts, source = read_prompts(given), str(given)
    else:
        prompts = list(given)
    problems = [p for number, prompt in enumerate(prompts, 1) for p in _wrong(prompt, number)]
    if problems:
        raise ConfigError(f"{source}: {problem}" for problem in problems)
    return prompts


def _wrong(prompt: str, number: int) -> list[str]:
    if not prompt.strip():
        return [f"prompt {number} is empty"]
    return [
        f"prompt {number} has the unknown placeholder {{{name}}}; "
        "known are {trigger} and {class}"
        for name in _PLACEHOLDER.findall(prompt)
        if name not in _KNOWN
    ]


def read_prompts(path: Path) -> list[str]:
    """Prompts of a text file (one a line, # for remarks), or of any lists in a TOML or JSON file.

    Raises:
        ConfigError: the file is missing, malformed or holds no prompts.
    """
    if path.suffix == ".toml":
        prompts = list(_texts(read_toml(path)))
    elif path.suffix == ".json":
        prompts = list(_texts(_json(path)))
    else:
        lines = (line.strip() for line in _text(path).splitlines())
        prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise ConfigError(f"{path}: holds no prompts")
    return prompts


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: prompts cannot be read: {error}") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from error


def _texts(data: Any) -> Iterable[str]:
    """Prompts in lists at any depth: plain, or under the key `prompt`."""
    if isinstance(data, dict):
        if isinstance(data.get("prompt"), str):
            yield data["prompt"]
            return
        data = [v for v in data.values() if isinstance(v, dict | list)]
    for item in data if isinstance(data, list) else ():
        if isinstance(item, str):
            yield item
        else:
            yield from _texts(item)
