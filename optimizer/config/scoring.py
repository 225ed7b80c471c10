"""How the checkpoints of a study are drawn and judged: fixed for the whole study."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from optimizer.config.base import Frozen, ResolvedPath
from optimizer.config.references import ModelReference

Preset = Literal["balanced", "character", "style", "prompt"]
Sampler = Literal["model", "ddim", "euler", "euler_a", "dpmsolver++"]
ShippedPrompts = Literal["dreambooth_live", "dreambooth_object"]
"""Lists that come with this package: 25 prompts each, for what lives and for things."""
Count = Annotated[int, Field(ge=1)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

_KNOWN = re.compile(r"\{(?:trigger|class)\}")
_SAMPLE_OPTION = re.compile(r"(?:^|\s)(--[a-z]{1,3})(?=\s|$)")


def prompt_problem(template: str) -> str | None:
    """What is wrong with a prompt as written, or None.

    `{trigger}` and `{class}` are its only placeholders. Options as in sd-scripts' sample prompts
    (`--n`, `--w`) would be drawn as words, and all pictures of a study share one setting.
    """
    rest = _KNOWN.sub("", template)
    if "{" in rest or "}" in rest:
        found = re.search(r"\{[^{}]*\}", rest)
        what = f"the unknown placeholder {found.group()}" if found else "a lone brace"
        return f"has {what}; known are {{trigger}} and {{class}}"
    if option := _SAMPLE_OPTION.search(template):
        return f"has the option {option.group(1)}; set such things in [scoring], for all prompts"
    return None if template.strip() else "is empty"


def _check_prompts(prompts: tuple[str, ...]) -> tuple[str, ...]:
    for number, prompt in enumerate(prompts, start=1):
        if problem := prompt_problem(prompt):
            raise ValueError(f"must be usable prompts, but prompt {number} {problem}")
    return prompts


def _kind_of_prompts(value: object) -> str:
    if isinstance(value, str) and value in get_args(ShippedPrompts):
        return "shipped"
    return "file" if isinstance(value, str | Path) else "list"


Prompts = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_check_prompts)]
PromptSource = Annotated[
    Annotated[Prompts, Tag("list")]
    | Annotated[ShippedPrompts, Tag("shipped")]
    | Annotated[ResolvedPath, Tag("file")],
    Discriminator(_kind_of_prompts),
]


def _check_objectives(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) == 1:
        raise ValueError("must be two metrics or more; for one number there is the objective")
    if len(set(names)) < len(names):
        raise ValueError("must differ from each other")
    return names


Metric = Literal["subject", "prompt", "preservation", "clip_t", "clip_i", "diversity"]
Objectives = Annotated[tuple[Metric, ...], AfterValidator(_check_objectives)]


class FinalsConfig(Frozen):
    """The best checkpoints of a search are scored again: a winner of a noisy race is partly lucky.

    Not part of what makes trials comparable: it may be changed at any time.
    """

    top: Annotated[int, Field(ge=0)] = 3
    """Checkpoints that take part; 0 for no finals."""
    times: Annotated[int, Field(ge=4)] = 4
    """Pictures a prompt, as a multiple of num_images_per_prompt."""


class ScoringConfig(Frozen):
    """Prompts, drawing settings and the judge."""

    clip_model: ModelReference
    """CLIP or SigLIP that judges: a folder or a hub id."""
    trigger: Word
    """The word that captions use for the subject; `{trigger}` in prompts."""
    class_word: Word
    """What the subject is, which the judge reads instead of the trigger; `{class}` in prompts."""
    prompts: PromptSource
    """The prompts, a file of them (text, one a line; TOML or JSON), or a list that ships."""
    preservation_prompts: Prompts | None = None
    """Prompts that the LoRA should leave alone; `prompts` without the trigger when not given."""
    reference_dir: ResolvedPath | None = None
    """Pictures of the subject that are not trained on; held out of the dataset when not given."""

    dino_model: ModelReference | None = None
    """DINOv2, a folder or a hub id: adds `dino_i`, which sees the subject better than CLIP."""
    pick_score_model: ModelReference | None = None
    """PickScore, a folder or a hub id: adds `pick_score`, what people would pick."""
    aesthetic_head: ResolvedPath | None = None
    """LAION's aesthetic head as .safetensors, for clip_model ViT-L/14: adds `aesthetic`."""

    num_images_per_prompt: Count = 1
    """Drawing soon takes longer than training: another prompt tells more than another seed."""
    num_inference_steps: Count = 20
    guidance_scale: Annotated[float, Field(ge=0)] = 7.0
    sampler: Sampler = "model"
    """sd-scripts' names; `model` is the scheduler that the base model comes with."""
    resolution: Count | None = None
    """Side in pixels; the base model's own when not given."""
    negative_prompt: str = ""
    clip_skip: Annotated[int, Field(ge=1, le=12)] | None = None
    """SD1.5 only: should be what the LoRA is trained with."""
    strength: Annotated[float, Field(gt=0)] = 1.0
    """What the LoRA is multiplied by while drawing."""
    batch_size: Count = 8
    seed: int = 0
    preset: Preset = "balanced"
    """What the objective stresses: see scoring/objective.py."""
    objectives: Objectives = ()
    """Two metrics or more to search a Pareto front of; the objective alone when not given. Trials
    are then not ended early, and the best of the front is the one with the best objective."""
    finals: FinalsConfig = FinalsConfig()

    @model_validator(mode="after")
    def _check_diversity(self) -> Self:
        if "diversity" in self.objectives and self.num_images_per_prompt < 2:
            raise ValueError(
                "has objectives with diversity, which is within a prompt: "
                "set num_images_per_prompt to 2 or more"
            )
        return self
