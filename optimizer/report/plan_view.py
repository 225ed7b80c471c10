"""`optimizer plan` for people."""

from typing import Any

from rich.text import Text

from optimizer.config.duration import parse_duration
from optimizer.config.study import StudyConfig
from optimizer.models.device import GIB
from optimizer.report.plan import Memory, Plan, free_bytes
from optimizer.report.spoken import duration, size
from optimizer.report.tables import console, key_values

MUCH_DRAWING = 0.5
"""Share of a trial's operations from which drawing less is worth a thought."""


def print_plan(plan: Plan, config: StudyConfig) -> None:
    """Three tables: the trainings, the card, time and disk."""
    console.print(key_values(f"plan of {plan.name}", _trainings(plan)))
    console.print(key_values("memory of the card, predicted", _card(plan)))
    console.print(key_values("time and disk", _cost(plan, config)))


def _trainings(plan: Plan) -> dict[str, Any]:
    height, width = plan.largest_bucket
    pictures = plan.pictures_per_checkpoint
    facts: dict[str, Any] = {
        "pictures": f"{plan.pictures}, {plan.pictures_with_repeats} with repeats",
        "buckets": f"{plan.buckets}, the largest {width}x{height}",
        "updates per epoch": _range(plan.updates_per_epoch),
        "updates per trial": _range(plan.updates_per_trial),
        "checkpoints per trial": _range(plan.checkpoints_per_trial),
        "pictures drawn per checkpoint": pictures,
        "drawing's share": f"about {plan.drawing_share:.0%} of a trial's operations",
    }
    if plan.drawing_share > MUCH_DRAWING:
        facts["to draw less"] = "lower num_images_per_prompt, or raise save_every_n_epochs"
    if plan.refused:
        facts["refused before training"] = "\n".join(
            f"{share:.0%} of random draws: {reason}" for reason, share in plan.refused.items()
        )
    return facts


def _card(plan: Plan) -> dict[str, Any]:
    first = plan.memory[0].cost
    facts: dict[str, Any] = {
        "largest trial": plan.largest_trial,
        "operations per batch": f"{first.flops / 1e12:.3g} TFLOP",
        "frozen base": f"{_gib(first.base)} ({plan.architecture} architecture)",
        "adapter, gradients, moments": _gib(first.adapter),
    }
    for memory in plan.memory:
        facts[f"activations, {memory.way}"] = _gib(memory.cost.activations)
        facts[f"peak, {memory.way}"] = _verdict(memory)
    if plan.memory_auto:
        facts['memory = "auto"'] = plan.memory_auto
    facts["not in it"] = "the driver's own memory, the judge, and the drawing of pictures"
    return facts


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB"


def _verdict(memory: Memory) -> Text:
    peak = _gib(memory.cost.peak)
    if memory.limit is None:
        return Text(f"{peak}; no card here, give --card-memory to compare")
    limit = _gib(memory.limit)
    if memory.fits:
        return Text(f"{peak} of {limit}: fits")
    return Text(
        f"{peak} of {limit}: does not fit; fewer pictures will go through at once",
        style="red",
    )


def _cost(plan: Plan, config: StudyConfig) -> dict[str, Any]:
    facts: dict[str, Any] = {"trials left": plan.trials_left}
    if plan.seconds_per_trial is None:
        facts["time"] = (
            "not known before a trial is done: optimizer run ... --n-trials 1, then plan again"
        )
    else:
        whole = plan.seconds_per_trial * plan.trials_left
        facts["time per trial"] = f"{duration(plan.seconds_per_trial)}, measured"
        facts["time left"] = duration(whole)
        facts |= _against_limits(whole, config)
    facts["LoRA file"] = _sizes(plan.lora_bytes)
    kept = config.study.keep_checkpoints
    facts["LoRA files that stay"] = f"{_sizes(plan.disk_bytes)} (keep_checkpoints = {kept!r})"
    free = free_bytes(config)
    enough = "" if free > plan.disk_bytes[1] else ": not enough for the largest settings"
    facts["free on the disk"] = f"{size(free)}{enough}"
    return facts


def _against_limits(whole: float, config: StudyConfig) -> dict[str, str]:
    stop = config.study.stop
    limits = {
        "gpu_hours": stop.gpu_hours * 3600 if stop.gpu_hours else None,
        "timeout": parse_duration(stop.timeout).total_seconds() if stop.timeout else None,
    }
    return {
        f"study.stop.{name}": f"ends it after {duration(limit)}, before its last trial"
        for name, limit in limits.items()
        if limit is not None and limit < whole
    }


def _range(ends: tuple[int, int]) -> str:
    low, high = min(ends), max(ends)
    return str(low) if low == high else f"{low} to {high}"


def _sizes(ends: tuple[int, int]) -> str:
    low, high = size(min(ends)), size(max(ends))
    return low if low == high else f"{low} to {high}"
