"""What is drawn: prompts with their placeholders filled in, and a seed for every picture."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from optimizer.config.scoring import ScoringConfig
from optimizer.errors import ConfigError
from optimizer.scoring.prompt_files import read_prompts

_SHIPPED = Path(__file__).parent / "prompt_lists"


@dataclass(frozen=True)
class PlannedPicture:
    """One picture to draw. `judged` is what the judge reads: it never saw the trigger."""

    prompt: str
    judged: str
    seed: int


@dataclass(frozen=True)
class PromptSet:
    """With the trigger, and without it: does the subject leak into what should be left alone?"""

    subject: tuple[PlannedPicture, ...]
    preservation: tuple[PlannedPicture, ...]


def plan_pictures(config: ScoringConfig, source: str) -> PromptSet:
    """All pictures of a scoring, prompt by prompt.

    Args:
        source: the file that `config` came from, named in problems.

    Raises:
        ConfigError: a prompts file that cannot be used, or a preservation prompt with the trigger.
    """
    drawn = [_filled(prompt, config) for prompt in _templates(config.prompts)]
    judged = [without_trigger(prompt, config.trigger, config.class_word) for prompt in drawn]
    plain = judged if config.preservation_prompts is None else _plain(config, source)
    return PromptSet(
        _planned(config, drawn, judged, "subject"), _planned(config, plain, plain, "preservation")
    )


def with_samples(config: ScoringConfig, samples: int, source: str) -> ScoringConfig:
    """A scoring of exactly so many pictures: as many of the first prompts as share them evenly.

    A prompt has as many seeds as the finals give it.

    Raises:
        ConfigError: prompts times seeds give fewer, or the number cannot be shared evenly.
    """
    templates = tuple(_templates(config.prompts))
    most = config.finals.times * config.num_images_per_prompt
    possible = {p * s: (p, s) for s in range(most, 0, -1) for p in range(1, len(templates) + 1)}
    if samples > len(templates) * most:
        raise ConfigError(
            f"{source}: {samples} samples are more than its {len(templates)} prompts x {most} "
            f"seeds give ({len(templates) * most}); add prompts or raise num_images_per_prompt"
        )
    if samples not in possible:
        near = min(possible, key=lambda n: abs(n - samples))
        raise ConfigError(
            f"{source}: {samples} samples cannot be shared evenly by prompts with up to {most} "
            f"pictures each; ask for {near}"
        )
    prompts, images = possible[samples]
    update = {"prompts": templates[:prompts], "num_images_per_prompt": images}
    return config.model_copy(update=update)


def picture_seed(seed: int, kind: str, prompt: int, image: int) -> int:
    """Seed of an image of a prompt, by their places; nine digits at most, to be read by people.

    Every LoRA of a study starts from the same noise, and prompts or images added at the end
    change nothing before them. A hash and no sum, so that two studies' seeds share no pictures.
    """
    digest = sha256(f"{seed}/{kind}/{prompt}/{image}".encode()).digest()
    return int.from_bytes(digest[:8], "little") % 10**9


def without_trigger(prompt: str, trigger: str, class_word: str) -> str:
    """Put the class word for the trigger: `a mivo monster` becomes `a monster`, not doubled."""
    name, kind = re.escape(trigger), re.escape(class_word)
    together = rf"{name}[\s,]+{kind}|{kind}[\s,]+{name}|{name}"
    return re.sub(rf"(?<!\w)(?:{together})(?!\w)", lambda _: class_word, prompt, flags=re.I)


def _templates(given: tuple[str, ...] | str | Path) -> Sequence[str]:
    """A string is the name of a list that ships."""
    if isinstance(given, str):
        given = _SHIPPED / f"{given}.txt"
    return read_prompts(given) if isinstance(given, Path) else given


def _filled(prompt: str, config: ScoringConfig) -> str:
    return prompt.replace("{trigger}", config.trigger).replace("{class}", config.class_word)


def _planned(
    config: ScoringConfig, drawn: Sequence[str], judged: Sequence[str], kind: str
) -> tuple[PlannedPicture, ...]:
    return tuple(
        PlannedPicture(prompt, text, picture_seed(config.seed, kind, place, image))
        for place, (prompt, text) in enumerate(zip(drawn, judged, strict=True))
        for image in range(config.num_images_per_prompt)
    )


def _plain(config: ScoringConfig, source: str) -> list[str]:
    prompts = [_filled(prompt, config) for prompt in config.preservation_prompts or ()]
    problems = [
        f"{source}: scoring.preservation_prompts holds the trigger in prompt {number}; "
        "these are prompts that the LoRA should leave alone"
        for number, prompt in enumerate(prompts, start=1)
        if without_trigger(prompt, config.trigger, config.class_word) != prompt
    ]
    if problems:
        raise ConfigError(problems)
    return prompts
