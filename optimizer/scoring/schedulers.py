"""Samplers by sd-scripts' names, as diffusers' schedulers."""

from typing import Any

from optimizer.config.scoring import Sampler

_CLASSES: dict[Sampler, str] = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "dpmsolver++": "DPMSolverMultistepScheduler",
}


def fresh_scheduler(own: Any, sampler: Sampler) -> Any:
    """A new scheduler with the noise schedule of the base model's own one.

    New for every call: schedulers keep their position and the last predictions.
    """
    import diffusers

    chosen = type(own) if sampler == "model" else getattr(diffusers, _CLASSES[sampler])
    return chosen.from_config(own.config)
