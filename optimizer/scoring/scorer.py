"""From a LoRA on a model to its scores."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.errors import DatasetError
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring import metrics
from optimizer.scoring.anchors_file import anchors_key, read_anchors, write_anchors
from optimizer.scoring.array import Array
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.generate import draw
from optimizer.scoring.health import health_of
from optimizer.scoring.metric import Metric
from optimizer.scoring.objective import Anchors, Part, Scores, score
from optimizer.scoring.prompts import PlannedPicture, PromptSet, picture_seed, plan_pictures
from optimizer.scoring.vae import rebuilt


@dataclass(frozen=True)
class Picture:
    """A drawn picture and what the judge made of it."""

    image: Image.Image
    prompt: str
    judged: str
    """The prompt as the judge read it."""
    seed: int
    clip_t: float
    clip_i: float


@dataclass(frozen=True)
class Scored:
    """Scores with what they come from."""

    scores: Scores
    pictures: tuple[Picture, ...]
    preservation_pictures: tuple[Picture, ...]
    """Those without the trigger; their clip_i tells how much of the subject leaks."""
    per_picture: dict[str, Array]
    """Metrics, (n,) each, prompt by prompt."""
    objectives: NDArray[np.float64]
    """Objectives (RESAMPLES,) of the bootstrap."""


@dataclass(frozen=True)
class _Measured:
    images: list[Image.Image]
    plain_images: list[Image.Image]
    vectors: Array
    per_picture: dict[str, Array]


class Scorer:
    """Scores whatever LoRA is active on a model, always with the same prompts and seeds."""

    def __init__(
        self,
        model: PipelineModel,
        encoder: ClipEncoder,
        config: ScoringConfig,
        prompts: PromptSet,
        references: Sequence[Image.Image],
        training: Iterable[Image.Image],
        cache: Path | None = None,
        extras: Sequence[Metric] = (),
    ) -> None:
        """Embed real pictures, of which `training` may come lazily.

        extras: metrics beyond those of the encoder; they are reported, the objective has its own.
        cache: folder to keep anchors in; without it every process draws the base anew.

        Raises:
            DatasetError: there are no references.
        """
        if not references:
            raise DatasetError("there are no reference pictures to compare drawn ones with")
        self.model, self.encoder, self.config, self.prompts = model, encoder, config, prompts
        self.reference_images, self.cache = list(references), cache
        self.extras = extras
        self.references = encoder.pictures(references)
        self.training = encoder.pictures(training)

    @cached_property
    def anchors(self) -> Anchors:
        """What this study's scores are measured against; read from the cache where possible.

        Raises:
            DatasetError: the references do not differ from what the base draws.
            RuntimeError: an adapter is on the model: this is about the bare base.
        """
        key = anchors_key(
            self.model,
            self.encoder,
            self.config,
            self.prompts,
            self.reference_images,
            self.extras,
        )
        anchors = read_anchors(self.cache, key)
        if anchors is None:
            real = self._real_pictures()
            anchors = Anchors(self._base.per_picture, metrics.ceiling(real, self.references))
            anchors.check(metrics.alike(real, self.references))
            write_anchors(self.cache, key, anchors)
        return anchors

    @cached_property
    def baseline(self) -> Scored:
        """The base model without LoRA: its objective is 0 by definition."""
        return self._scored(self._base, self.anchors)

    def score(self) -> Scored:
        """Draw and judge with the LoRA that is active now."""
        anchors = self.anchors
        return self._scored(self._measure(), anchors)

    def redrawn(self, times: int) -> "Scorer":
        """The same prompts with fresh seeds and `times` as many pictures; nothing is loaded anew.

        Fresh seeds, as the search's own ones have favoured what won on them.
        """
        other = copy(self)
        for kept in ("anchors", "baseline", "_base"):
            other.__dict__.pop(kept, None)
        other.config = self.config.model_copy(
            update={
                "num_images_per_prompt": times * self.config.num_images_per_prompt,
                "seed": picture_seed(self.config.seed, "finals", 0, 0),
            }
        )
        other.prompts = plan_pictures(other.config, "the study's prompts")
        return other

    @cached_property
    def _base(self) -> _Measured:
        if any(getattr(m, "peft_config", None) for m in self.model.modules.values()):
            raise RuntimeError("ask for a scorer's anchors and baseline before adapters are put on")
        return self._measure()

    def _real_pictures(self) -> Array:
        """Unit vectors of the references as the model would draw them at best."""
        images = [rebuilt(self.model, i, self.config.resolution) for i in self.reference_images]
        return self.encoder.pictures(images)

    def _measure(self) -> _Measured:
        subject, plain = self.prompts.subject, self.prompts.preservation
        images = draw(self.model, subject, self.config)
        plain_images = draw(self.model, plain, self.config)
        vectors, plain_vectors = self.encoder.pictures(images), self.encoder.pictures(plain_images)
        per_prompt = self.config.num_images_per_prompt
        per_picture = {
            "clip_t": metrics.clip_t(vectors, self.encoder.texts(p.judged for p in subject)),
            "clip_i": metrics.clip_i(vectors, self.references),
            "preservation": metrics.clip_t(
                plain_vectors, self.encoder.texts(p.judged for p in plain)
            ),
            "leak": metrics.clip_i(plain_vectors, self.references),
            "copy_rate": metrics.copy_rate(vectors, self.training, self.references),
        }
        if per_prompt > 1:
            per_picture["diversity"] = metrics.diversity(vectors, per_prompt)
        judged = [picture.judged for picture in subject]
        per_picture |= {metric.name: metric(images, judged) for metric in self.extras}
        return _Measured(images, plain_images, vectors, per_picture)

    def _scored(self, measured: _Measured, anchors: Anchors) -> Scored:
        values = measured.per_picture
        health = health_of([*measured.images, *measured.plain_images])
        per_prompt = self.config.num_images_per_prompt
        scores, objectives = score(values, anchors, self.config.preset, per_prompt, health)
        if found := metrics.cmmd(measured.vectors, self.references):
            scores.parts["cmmd"] = Part(*found)
        return Scored(
            scores,
            _pictures(measured.images, self.prompts.subject, values["clip_t"], values["clip_i"]),
            _pictures(
                measured.plain_images,
                self.prompts.preservation,
                values["preservation"],
                values["leak"],
            ),
            values,
            objectives,
        )


def _pictures(
    images: Sequence[Image.Image], plan: Sequence[PlannedPicture], texts: Array, references: Array
) -> tuple[Picture, ...]:
    rows = zip(images, plan, texts, references, strict=True)
    return tuple(Picture(i, p.prompt, p.judged, p.seed, float(t), float(r)) for i, p, t, r in rows)
