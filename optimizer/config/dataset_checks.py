"""Values of a dataset that contradict each other, each right by itself."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from optimizer.config.dataset_options import DatasetOptions

_LATENT_SIDE = 8
"""Pixels of a picture's side per side of its latents."""


def contradictions(values: Mapping[str, Any], where: str) -> list[str]:
    """Return a sentence per contradiction in a dataset's values; `where` leads to its keys."""
    options = DatasetOptions.model_construct(
        **{key: value for key, value in values.items() if key in DatasetOptions.model_fields}
    )
    resolution = values.get("resolution")
    sizes = _sizes(resolution, options, where) if resolution else [f"{where}resolution is missing"]
    return [*sizes, *_folders(values["subsets"], where)]


def _sizes(resolution: tuple[int, int], options: DatasetOptions, where: str) -> list[str]:
    size = "x".join(map(str, resolution))
    if not options.enable_bucket:
        fits = all(side % _LATENT_SIDE == 0 for side in resolution)
        wrong = f"{where}resolution {size} must be a multiple of {_LATENT_SIDE} without buckets"
        return [] if fits else [wrong]
    if options.bucket_no_upscale:  # sd-scripts ignores both limits then
        return []
    problems = []
    if options.min_bucket_reso > min(resolution):
        problems.append(
            f"{where}min_bucket_reso {options.min_bucket_reso} is above resolution {size}; lower it"
        )
    if options.max_bucket_reso < max(resolution):
        problems.append(
            f"{where}max_bucket_reso {options.max_bucket_reso} is below resolution {size}; raise it"
        )
    return problems


def _folders(subsets: tuple[Any, ...], where: str) -> list[str]:
    problems = [
        f"{where}subsets: {folder} is given {count} times; use num_repeats to see it more often"
        for folder, count in Counter(subset.image_dir for subset in subsets).items()
        if count > 1
    ]
    if all(subset.is_reg for subset in subsets):
        problems.append(f"{where}subsets: every subset is is_reg, there is nothing to train on")
    return problems
