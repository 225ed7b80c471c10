"""Operations of drawing, predicted on the meta device, against those of real drawing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from optimizer.config.scoring import ScoringConfig
from optimizer.config.study import ModelConfig
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.shapes import shapes_of
from optimizer.scoring.cost import drawing_flops
from optimizer.scoring.generate import draw
from optimizer.scoring.prompts import PlannedPicture


@pytest.mark.parametrize("chosen", [{}, {"guidance_scale": 1.0}, {"resolution": 48}], ids=str)
def test_predicted_is_what_drawing_takes(
    model: PipelineModel,
    settings: Callable[..., ScoringConfig],
    chosen: dict[str, float],
    tmp_path: Path,
) -> None:
    model.pipeline.save_pretrained(tmp_path)
    shapes = shapes_of(
        ModelConfig.model_validate(
            {"family": model.family, "pretrained_model_name_or_path": str(tmp_path)}
        )
    )
    config = settings(sampler="ddim", num_inference_steps=3, **chosen)
    # torch does not count what the CPU's fused attention does.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as drawing:
        draw(model, [PlannedPicture("a mivo", "a monster", 11)], config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as encoding:
        model.encode_prompts(["a mivo"])
        model.encode_prompts([""])
    taken = drawing.get_total_flops() - encoding.get_total_flops()
    assert drawing_flops(shapes, config) == pytest.approx(taken, rel=0.02)
