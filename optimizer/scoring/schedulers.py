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

    if sampler == "model":
        # from_config takes back what pipelines correct in a scheduler they were built with, such
        # as steps_offset, because it is noted there as a default.
        known = {name: value for name, value in own.config.items() if not name.startswith("_")}
        return type(own).from_config(known)
    return getattr(diffusers, _CLASSES[sampler]).from_config(own.config)
