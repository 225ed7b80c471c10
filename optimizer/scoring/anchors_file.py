"""Anchors on disk: the bare base is drawn once for a study, not once a process."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from PIL import Image

from optimizer import __version__
from optimizer.config.scoring import ScoringConfig
from optimizer.files import write_json
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.metric import Metric
from optimizer.scoring.objective import Anchors
from optimizer.scoring.prompts import PromptSet

_FORMAT = 2
"""Raised when an anchor is computed in another way."""

_DRAWING = {
    "num_inference_steps",
    "guidance_scale",
    "sampler",
    "resolution",
    "negative_prompt",
    "clip_skip",
    "num_images_per_prompt",
}
"""Settings that change a picture of the bare base, besides the plan."""


def anchors_key(
    model: PipelineModel,
    encoder: ClipEncoder,
    config: ScoringConfig,
    prompts: PromptSet,
    references: Sequence[Image.Image],
    extras: Sequence[Metric],
) -> str:
    """A digest of everything that anchors depend on, contents and not names."""
    facts = {
        "version": [__version__, _FORMAT],
        "model": [model.family, model.loaded_weights, model.device.type, str(model.dtype)],
        "scheduler": dict(model.pipeline.scheduler.config),
        "encoder": encoder.identity,
        "extras": {metric.name: metric.identity for metric in extras},
        "drawing": config.model_dump(mode="json", include=_DRAWING),
        "plan": [[p.prompt, p.judged, p.seed] for p in (*prompts.subject, *prompts.preservation)],
        "references": [_digest(image) for image in references],
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:24]


def read_anchors(folder: Path | None, key: str) -> Anchors | None:
    """Anchors kept under a key, if there are any."""
    if folder is None:
        return None
    try:
        return Anchors.from_dict(json.loads(_path(folder, key).read_bytes()))
    except (FileNotFoundError, ValueError, KeyError):
        return None  # a damaged cache is no cache


def write_anchors(folder: Path | None, key: str, anchors: Anchors) -> None:
    """Keep anchors; nothing happens without a folder."""
    if folder is not None:
        write_json(_path(folder, key), anchors.as_dict())


def _path(folder: Path, key: str) -> Path:
    return folder / f"anchors-{key}.json"


def _digest(image: Image.Image) -> str:
    return sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).hexdigest()
