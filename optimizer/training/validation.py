"""Loss on pictures that are never trained on, at fixed noise and fixed timesteps."""

from collections.abc import Mapping

import torch

from optimizer.training.diffusion import Diffusion

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of all timesteps: the middles of five equal parts."""
_NOISE_SEED = 0
"""The same noise for all trials of all studies, so that their losses compare."""


@torch.no_grad()
def validation_losses(diffusion: Diffusion) -> Mapping[int, float]:
    """Mean squared error over the validation pictures, by timestep; empty where there are none.

    No loss type, timestep weight or noise offset of the settings counts, or trials could not be
    compared. The run's random states are left as they were.
    """
    device = diffusion.model.device
    steps = [int(share * diffusion.timesteps) for share in SHARES]
    sums = dict.fromkeys(steps, 0.0)
    plans = diffusion.data.validation()
    for number, plan in enumerate(plans):
        batch = diffusion.data.load(plan)
        for step in steps:
            # One generator a picture: adding pictures does not change the noise of the others.
            generator = torch.Generator(device).manual_seed(_NOISE_SEED + number)
            noised = diffusion.noised_at(step, batch, generator)
            sums[step] += float(diffusion.squared_errors(noised).mean())
    return {step: total / len(plans) for step, total in sums.items()} if plans else {}
