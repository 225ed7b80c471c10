"""One picture in one batch: how it is cropped, flipped, recoloured and captioned."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from optimizer.data.buckets import Placement, place
from optimizer.data.captions import Progress, final_caption
from optimizer.data.records import Record

_COLOR_AUG_SHARE = 0.33
_HUE_DEGREES = 16.0
_GAMMA = 0.05
"""sd-scripts' colour augmentation: how often, and how far hue and gamma may go."""

_UNVARIED = {
    "shuffle_caption": False,
    "caption_dropout_rate": 0.0,
    "caption_dropout_every_n_epochs": 0,
    "caption_tag_dropout_rate": 0.0,
    "token_warmup_step": 0.0,
    "random_crop": False,
    "flip_aug": False,
    "color_aug": False,
}
"""What makes a picture look the same every time; of wildcards the first draw is kept."""


@dataclass(frozen=True, slots=True)
class Color:
    """A change of colours: hue in degrees, gamma 1 changes nothing."""

    hue: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture in one batch.

    crop is the (top, left) corner of the bucket in the resized picture, before any flip. color
    is None without color_aug.
    """

    record: Record
    placement: Placement
    crop: tuple[int, int]
    flip: bool
    color: Color | None
    caption: str
    loss_weight: float

    @property
    def is_cacheable(self) -> bool:
        """Whether the same pixels will be seen again."""
        return self.color is None and not self.record.subset.random_crop

    @property
    def crop_top_left(self) -> tuple[int, int]:
        """The crop corner in the picture as it is trained on, mirrored if it is flipped."""
        top, left = self.crop
        if not self.flip:
            return top, left
        return top, self.placement.resized[0] - self.placement.bucket[0] - left


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Pictures of one bucket that train together."""

    samples: tuple[Sample, ...]

    @property
    def pixels(self) -> int:
        """Of one picture."""
        width, height = self.samples[0].placement.bucket
        return width * height


def place_record(record: Record) -> Placement:
    """Return the bucket of a record."""
    return place(record.size[1], record.size[0], record.dataset)


def largest_bucket(records: Iterable[Record]) -> tuple[int, int]:
    """Height and width in pixels of the bucket with the most of them."""
    width, height = max((place_record(r).bucket for r in records), key=lambda b: b[0] * b[1])
    return height, width


def draw_sample(
    record: Record, progress: Progress, prior_loss_weight: float, random: Random
) -> Sample:
    """Draw one training view of a picture; the same for the same state of `random`."""
    subset = record.subset
    placement = place_record(record)
    return Sample(
        record,
        placement,
        _random_crop(placement, random) if subset.random_crop else placement.crop,
        subset.flip_aug and random.random() < 0.5,
        _random_color(random) if subset.color_aug else None,
        final_caption(record.captions, subset, progress, random),
        prior_loss_weight if record.is_reg else 1.0,
    )


def both_flips(records: Iterable[Record]) -> tuple[BatchPlan, ...]:
    """Return every picture once, and once more flipped where flip_aug may flip it.

    What a latent cache must hold before training; captions are empty.
    """
    return tuple(
        BatchPlan((Sample(record, placement, placement.crop, flip, None, "", 1.0),))
        for record in records
        if not (record.subset.color_aug or record.subset.random_crop)
        for placement in [place_record(record)]
        for flip in ([False, True] if record.subset.flip_aug else [False])
    )


def validation_plans(records: Iterable[Record]) -> tuple[BatchPlan, ...]:
    """Return every picture once, in a batch of its own, as it is seen without augmentation."""
    plain = (replace(r, subset=r.subset.model_copy(update=_UNVARIED)) for r in records)
    return tuple(BatchPlan((draw_sample(one, Progress(), 1.0, Random(0)),)) for one in plain)


def _random_crop(placement: Placement, random: Random) -> tuple[int, int]:
    (width, height), (full_width, full_height) = placement.bucket, placement.resized
    return random.randint(0, full_height - height), random.randint(0, full_width - width)


def _random_color(random: Random) -> Color:
    if random.random() >= _COLOR_AUG_SHARE:
        return Color()
    if random.random() < 0.5:
        return Color(hue=random.uniform(-_HUE_DEGREES, _HUE_DEGREES))
    return Color(gamma=random.uniform(1 - _GAMMA, 1 + _GAMMA))
