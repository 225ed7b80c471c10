"""From a LoRA on a model to its scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring import metrics
from optimizer.scoring.encoders import Array, ClipEncoder
from optimizer.scoring.generate import draw
from optimizer.scoring.health import health_of
from optimizer.scoring.objective import Anchors, Scores, score
from optimizer.scoring.prompts import PromptSet


@dataclass(frozen=True)
class Picture:
    """A drawn picture and what the judge made of it."""

    image: Image.Image
    prompt: str
    seed: int
    clip_t: float
    clip_i: float


@dataclass(frozen=True)
class Scored:
    """Scores with the pictures they come from."""

    scores: Scores
    pictures: tuple[Picture, ...]
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
        training: Sequence[Image.Image],
    ) -> None:
        self.model, self.encoder, self.config, self.prompts = model, encoder, config, prompts
        self.reference_images = list(references)
        self.references = encoder.pictures(references)
        self.training = encoder.pictures(training)

    @cached_property
    def _base(self) -> tuple[list[Image.Image], dict[str, Array]]:
        return self._measure()

    @cached_property
    def anchors(self) -> Anchors:
        """What this study's scores are measured against.

        The first call draws with the bare base model: it must come while no adapter is on it.
        """
        base = self._base[1]
        anchors = Anchors(
            clip_i_base=float(base["clip_i"].mean()),
            clip_i_ceiling=self._ceiling(),
            clip_t_base=float(base["clip_t"].mean()),
            preservation_base=float(base["preservation"].mean()),
        )
        anchors.check()
        return anchors

    @cached_property
    def baseline(self) -> Scored:
        """The base model without LoRA: objective 0 by definition, with its spread."""
        return self._scored(*self._base, self.anchors)

    @torch.no_grad()
    def _ceiling(self) -> float:
        """CLIP-I of the references through the VAE: as good as this model can draw them.

        Each is compared with the others only; with itself it would always win.
        """
        rebuilt = self.encoder.pictures([self._rebuilt(i) for i in self.reference_images])
        cosines = rebuilt @ self.references.T
        n = len(cosines)
        if n == 1:
            return float(cosines[0, 0])
        return float((cosines.sum() - cosines.trace()) / (n * (n - 1)))

    def _rebuilt(self, image: Image.Image) -> Image.Image:
        side = self.config.resolution or self.model.native_resolution
        vae, processor = self.model.pipeline.vae, self.model.pipeline.image_processor
        pixels = processor.preprocess(image.convert("RGB").resize((side, side)))
        latents = self.model.encode_pictures(pixels)
        weights = next(vae.parameters())
        decoded = vae.decode(latents.to(weights.device, weights.dtype)).sample
        rebuilt: Image.Image = processor.postprocess(decoded.float().cpu())[0]
        return rebuilt

    def score(self) -> Scored:
        """Draw and judge with the LoRA that is active now."""
        anchors = self.anchors
        images, per_picture = self._measure()
        return self._scored(images, per_picture, anchors)

    def _measure(self) -> tuple[list[Image.Image], dict[str, Array]]:
        subject, plain = self.prompts.subject, self.prompts.preservation
        images = draw(self.model, subject, self.config)
        plain_images = draw(self.model, plain, self.config)
        vectors, plain_vectors = self.encoder.pictures(images), self.encoder.pictures(plain_images)
        per_prompt = self.config.num_images_per_prompt
        return images, {
            "clip_t": metrics.clip_t(vectors, self.encoder.texts([p.judged for p in subject])),
            "clip_i": metrics.clip_i(vectors, self.references),
            "preservation": metrics.clip_t(
                plain_vectors, self.encoder.texts([p.judged for p in plain])
            ),
            "leak": metrics.clip_i(plain_vectors, self.references),
            "diversity": metrics.diversity(vectors, per_prompt),
            "copy_rate": metrics.copy_rate(vectors, self.training, self.references),
        }

    def _scored(
        self, images: list[Image.Image], per_picture: dict[str, Array], anchors: Anchors
    ) -> Scored:
        per_prompt = self.config.num_images_per_prompt
        scores = score(per_picture, anchors, self.config.preset, per_prompt, health_of(images))
        rows = zip(
            images, self.prompts.subject, per_picture["clip_t"], per_picture["clip_i"], strict=True
        )
        pictures = tuple(Picture(i, p.prompt, p.seed, float(t), float(s)) for i, p, t, s in rows)
        return Scored(scores, pictures, per_picture)
