"""A caption as it is trained on: shuffled, dropped, grown; sd-scripts' rules."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from optimizer.config.dataset import Subset

_WILDCARD = re.compile(r"\{([^{}]+)\}")
_OPENED, _CLOSED = "\0(", "\0)"
"""Stand for the doubled braces {{ and }} while wildcards are filled in; no caption holds a NUL."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training is: epoch counts from 1, global_step counts finished updates."""

    epoch: int = 1
    global_step: int = 0
    max_train_steps: int = 0


def final_caption(lines: Sequence[str], subset: Subset, progress: Progress, random: Random) -> str:
    """Return one training caption of a picture whose caption file holds `lines`."""
    if _is_dropped(subset, progress.epoch, random):
        return ""
    caption = random.choice(lines) if subset.enable_wildcard and len(lines) > 1 else lines[0]
    caption = " ".join(filter(None, (subset.caption_prefix, caption, subset.caption_suffix)))
    if subset.enable_wildcard:
        caption = _filled_in(caption, random)
    caption = _arranged(caption, subset, progress, random)
    if subset.secondary_separator:
        caption = caption.replace(subset.secondary_separator, subset.caption_separator)
    return caption


def _is_dropped(subset: Subset, epoch: int, random: Random) -> bool:
    every = subset.caption_dropout_every_n_epochs
    # The number is drawn in any case, so that later draws do not depend on the epoch.
    dropped = random.random() < subset.caption_dropout_rate
    return dropped or (every > 0 and epoch % every == 0)


def _filled_in(caption: str, random: Random) -> str:
    """Replace each {a|b|c} by one of its words; {{ and }} stand for the braces themselves."""
    caption = caption.replace("{{", _OPENED).replace("}}", _CLOSED)
    caption = _WILDCARD.sub(lambda match: random.choice(match[1].split("|")), caption)
    return caption.replace(_OPENED, "{").replace(_CLOSED, "}")


def _arranged(caption: str, subset: Subset, progress: Progress, random: Random) -> str:
    separator = subset.keep_tokens_separator
    separated = bool(separator) and separator in caption
    rate = subset.caption_tag_dropout_rate
    if not (subset.shuffle_caption or subset.token_warmup_step or rate or separated):
        return caption  # spaces around commas stay as the user wrote them
    start, tags, end = _parted(caption, subset, separated)
    tags = tags[: _warmed_up(len(tags), subset, progress)]
    if subset.shuffle_caption:
        random.shuffle(tags)
    if rate:
        tags = [tag for tag in tags if random.random() >= rate]
    return ", ".join(start + tags + end)


def _parted(
    caption: str, subset: Subset, separated: bool
) -> tuple[list[str], list[str], list[str]]:
    """Part a caption into tags that stay at the start, move, and stay at the end."""
    if not separated:
        tags = _tags(caption, subset)
        return tags[: subset.keep_tokens], tags[subset.keep_tokens :], []
    start, moving, end = [*caption.split(subset.keep_tokens_separator, 2), ""][:3]
    return _tags(start, subset), _tags(moving, subset), _tags(end, subset)


def _tags(text: str, subset: Subset) -> list[str]:
    return [tag.strip() for tag in text.split(subset.caption_separator) if tag.strip()]


def _warmed_up(count: int, subset: Subset, progress: Progress) -> int:
    """How many of `count` tags are shown at this step."""
    last_step = subset.token_warmup_step
    if last_step < 1:  # a share of all updates
        last_step = math.floor(last_step * progress.max_train_steps)
    if progress.global_step >= last_step:
        return count
    grown = progress.global_step * (count - subset.token_warmup_min) / last_step
    return math.floor(grown) + subset.token_warmup_min
