"""The metrics that a study asks for beyond those of its CLIP."""

from collections.abc import Sequence

from PIL import Image

from optimizer.config.scoring import ScoringConfig
from optimizer.scoring.aesthetic import AestheticMetric
from optimizer.scoring.dino import DinoMetric
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.metric import Metric
from optimizer.scoring.pick_score import PickScoreMetric


def extra_metrics(
    config: ScoringConfig, encoder: ClipEncoder, references: Sequence[Image.Image]
) -> tuple[Metric, ...]:
    """Load each that is named in [scoring]; raises ModelError for what cannot be loaded."""
    found: list[Metric] = []
    if config.dino_model is not None:
        found.append(DinoMetric(config.dino_model, encoder.device, references))
    if config.pick_score_model is not None:
        found.append(PickScoreMetric(config.pick_score_model, encoder.device))
    if config.aesthetic_head is not None:
        found.append(AestheticMetric(config.aesthetic_head, encoder))
    return tuple(found)
