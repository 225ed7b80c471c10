"""How the checkpoints of a study are drawn and judged: fixed for the whole study."""

from typing import Annotated, Literal

from pydantic import Field

from optimizer.config.base import Frozen, ResolvedPath
from optimizer.config.references import ModelReference

Preset = Literal["balanced", "character", "style", "prompt"]
Count = Annotated[int, Field(ge=1)]


class ScoringConfig(Frozen):
    """Prompts, drawing settings and the judge."""

    clip_model: ModelReference
    """CLIP or SigLIP that judges: a folder or a hub id."""
    trigger: Annotated[str, Field(min_length=1)]
    """The word that captions use for the subject; `{trigger}` in prompts."""
    class_word: Annotated[str, Field(min_length=1)]
    """What the subject is; `{class}` in prompts."""
    prompts: Annotated[tuple[str, ...], Field(min_length=1)] | ResolvedPath
    """The prompts, or a file of them: text (one a line), TOML or JSON."""
    reference_dir: ResolvedPath | None = None
    """Pictures of the subject that are not trained on; held out of the dataset when not given."""

    num_images_per_prompt: Count = 4
    num_inference_steps: Count = 30
    guidance_scale: Annotated[float, Field(ge=0)] = 7.0
    resolution: Count | None = None
    """Side in pixels; the base model's own when not given."""
    negative_prompt: str = ""
    strength: Annotated[float, Field(gt=0)] = 1.0
    """What the LoRA is multiplied by while drawing."""
    batch_size: Count = 8
    seed: int = 0
    preset: Preset = "balanced"
    """What the objective stresses: see scoring/objective.py."""
