"""pick_score: which picture people would pick, by a CLIP tuned on their choices."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from optimizer.scoring.array import Array
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.metrics import clip_t
from optimizer.scoring.pretrained import Wanted

PICK_SCORE = Wanted(
    key="pick_score_model",
    what="PickScore (a CLIP model with its preprocessor and tokenizer files)",
    kinds=("clip",),
    example="yuvalkirstain/PickScore_v1",
    role="pick_score_model",
)


class PickScoreMetric:
    """exp(logit_scale) times the cosine of picture and text (Kirstain et al., 2305.01569).

    Differences between pictures of one prompt mean something, the level does not. It rewards high
    guidance (2602.22570): another reason why guidance is fixed for a study.
    """

    name = "pick_score"

    def __init__(self, reference: str, device: torch.device) -> None:
        """Load it; raises ModelError."""
        self.encoder = ClipEncoder(reference, device, PICK_SCORE)
        self.identity = self.encoder.identity
        self.scale = float(np.exp(self.encoder.model.logit_scale.item()))

    def __call__(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Array:
        """Values (n,)."""
        values: Array = self.scale * clip_t(
            self.encoder.pictures(images), self.encoder.texts(texts)
        )
        return values
