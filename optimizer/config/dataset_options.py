"""Keys of sd-scripts' dataset settings that a file may give for several folders at once."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from optimizer.config.base import Frozen

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, le=1)]
Interpolation = Literal[
    "lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area", "box"
]


def _width_height(value: object) -> object:
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() for part in parts):
            raise ValueError('must be a size such as 1024, [1024, 1024] or "1024,1024"')
        value = tuple(int(part) for part in parts)
        return value * 2 if len(value) == 1 else value
    return (value, value) if isinstance(value, int) else value


def _dotted(value: object) -> object:
    return f".{value}" if isinstance(value, str) and value[:1] not in ("", ".") else value


Resolution = Annotated[
    tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]], BeforeValidator(_width_height)
]
"""Width and height in pixels."""


class SubsetOptions(Frozen):
    """Keys of a subset that [general] and [[datasets]] may set for all their subsets."""

    num_repeats: Count = 1
    """Times a picture is seen in an epoch; a subset with 0 is left out."""
    shuffle_caption: bool = False
    keep_tokens: Count = 0
    """Tags at the start that are neither shuffled nor dropped."""
    keep_tokens_separator: str = ""
    """Text that parts a caption: fixed, shuffled and (after a second one) fixed again."""
    caption_separator: Annotated[str, Field(min_length=1)] = ","
    secondary_separator: str | None = None
    """Glue between tags that stay together; becomes `caption_separator` at last."""
    enable_wildcard: bool = False
    """`{a|b}` picks one; of a caption of several lines one is picked."""
    caption_prefix: str | None = None
    caption_suffix: str | None = None
    caption_dropout_rate: Rate = 0.0
    caption_dropout_every_n_epochs: Count = 0
    caption_tag_dropout_rate: Rate = 0.0
    token_warmup_min: Positive = 1
    token_warmup_step: Annotated[float, Field(ge=0)] = 0.0
    """Update at which all tags are there; below 1 a share of all updates."""
    color_aug: bool = False
    flip_aug: bool = False
    random_crop: bool = False
    caption_extension: Annotated[str, Field(min_length=1), BeforeValidator(_dotted)] = ".caption"
    class_tokens: str | None = None
    """Caption of the pictures that have no caption file."""
    cache_info: bool = False
    """Taken and not needed: reading headers is quick."""
    resize_interpolation: Interpolation | None = None
    """Area to shrink and Lanczos to enlarge when not given."""


class DatasetOptions(Frozen):
    """Keys of a dataset that [general] may set for all datasets; sizes in pixels."""

    batch_size: Positive = 1
    enable_bucket: bool = False
    """Without buckets every picture is scaled and trimmed to exactly `resolution`."""
    min_bucket_reso: Positive = 256
    max_bucket_reso: Positive = 1024
    bucket_reso_steps: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    bucket_no_upscale: bool = False
    validation_split: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the pictures that is never trained on."""
    validation_seed: int | None = None
