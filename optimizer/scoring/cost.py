"""What drawing will take, before any weight is loaded."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from optimizer.config.scoring import ScoringConfig
from optimizer.models.passes import unet_pass
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.vae import picture_size


def drawing_flops(model: PipelineModel, config: ScoringConfig) -> int:
    """Operations of drawing one picture, a multiplication and an addition being two.

    The judge's are in the noise beside them.

    Args:
        model: on the meta device.

    Raises:
        ConfigError: the resolution does not fit the model.
    """
    size = picture_size(model, config.resolution)
    vae = model.pipeline.vae
    latents = (1, int(vae.config.latent_channels), *(side // model.vae_factor for side in size))
    with torch.device("meta"), torch.no_grad():
        with FlopCounterMode(display=False) as step:
            unet_pass(model, 2 if config.guidance_scale > 1 else 1, size)
        with FlopCounterMode(display=False) as decoding:
            vae.decode(torch.zeros(latents, dtype=vae.dtype))
    passes = config.num_inference_steps * step.get_total_flops()
    return int(passes + decoding.get_total_flops())
