"""How checkpoints are drawn and judged: fixed for a study, the same for every trial."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from optimizer.config.base import Frozen, ResolvedPath
from optimizer.config.references import ModelReference

Preset = Literal["balanced", "character", "style", "prompt"]
Sampler = Literal["model", "ddim", "euler", "euler_a", "dpmsolver++"]

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(ge=1)]

_KNOWN = re.compile(r"\{(?:trigger|class)\}")
_OPTION = re.compile(r"(?:^|\s)(--[a-z]{1,3})(?=\s|$)")


def prompt_problem(template: str) -> str | None:
    """What is wrong with a prompt template, or None.

    `{trigger}` and `{class}` are its only placeholders. sd-scripts' sample options (`--n`, `--w`)
    would be drawn as words, and pictures of a study share one setting.
    """
    rest = _KNOWN.sub("", template)
    if "{" in rest or "}" in rest:
        found = re.search(r"\{[^{}]*\}", rest)
        what = f"unknown placeholder {found.group()}" if found else "a lone brace"
        return f"has {what}; known placeholders are {{trigger}} and {{class}}"
    if option := _OPTION.search(template):
        return f"has the option {option.group(1)}; set such things under [scoring] for all prompts"
    return None if template.strip() else "is empty"


def _check_prompts(prompts: tuple[str, ...]) -> tuple[str, ...]:
    for number, prompt in enumerate(prompts, start=1):
        if problem := prompt_problem(prompt):
            raise ValueError(f"must hold usable prompts, but number {number} {problem}")
    return prompts


Prompts = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_prompts)]


class ScoringConfig(Frozen):
    """What is drawn with every checkpoint, and who judges it."""

    clip_model: ModelReference
    """CLIP or SigLIP: a folder or a hub id."""
    trigger: Word
    """The word that the training captions use for the subject."""
    class_word: Word
    """What the subject is. Judges do not know the trigger: they read this instead."""
    reference_dir: ResolvedPath | None = None
    """Pictures of the subject that are never trained on; held-out ones when not given."""

    prompts: Prompts | ResolvedPath
    """Prompts, or a text, TOML or JSON file of them; `{trigger}` and `{class}` are filled in."""
    preservation_prompts: Prompts | None = None
    """Prompts without the trigger, which the LoRA should leave alone; `prompts` without it when
    not given. Half as many pictures are drawn of each."""
    negative_prompt: str = ""

    num_images_per_prompt: Count = 4
    num_inference_steps: Count = 30
    guidance_scale: Annotated[float, Field(ge=0)] = 7.0
    sampler: Sampler = "model"
    """sd-scripts' names; `model` is the scheduler that the base model comes with."""
    resolution: Count | None = None
    """Side in pixels; what the base model was trained at when not given."""
    clip_skip: Annotated[int, Field(ge=1, le=12)] | None = None
    """SD1.5 only: should be what the LoRA is trained with."""
    seed: Annotated[int, Field(ge=0)] = 0
    batch_size: Count = 8
    strength: Annotated[float, Field(ge=0)] = 1.0
    """The LoRA is scored at this multiple of its effect."""

    preset: Preset = "balanced"
    """What the objective weighs most."""
