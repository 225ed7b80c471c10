"""Keys of sd-scripts' dataset settings that are understood and refused, each with its reason."""

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from optimizer.config.dataset_options import DatasetOptions

_Check = Callable[[Mapping[str, Any], str], dict[str, Any]]

_TRAINING = "belongs to the training settings, not to the dataset"
_FINE_TUNING = "fine-tuning metadata is not read; give image_dir with a caption file per picture"
_CONDITIONING = "ControlNet and mask folders are not read; use alpha_mask for masks"

_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "metadata_file": ((), _FINE_TUNING),
    "in_json": ((), _FINE_TUNING),
    "conditioning_data_dir": ((), _CONDITIONING),
    "face_crop_aug_range": ((), "cropping around faces is not done; remove the key"),
    "network_multiplier": ((1.0,), "one LoRA strength per dataset is not done; remove the key"),
    "custom_attributes": (({},), "differential output preservation is not done; remove the key"),
    "dataset_class": ((), "datasets of your own code are not loaded; remove the key"),
    "debug_dataset": ((False,), "`optimizer dataset check` shows a dataset; remove the key"),
    "prior_loss_weight": ((), _TRAINING),
    "max_token_length": ((), _TRAINING),
    "cache_latents": ((), _TRAINING),
    "cache_latents_to_disk": ((), _TRAINING),
    "cache_text_encoder_outputs": ((), _TRAINING),
    "vae_batch_size": ((), _TRAINING),
    "seed": ((), _TRAINING),
}
"""By key: the values that change nothing, and why any other is refused."""

_SUBSET_ONLY = frozenset({"image_dir", "is_reg", "alpha_mask"})
_DATASET_ONLY = frozenset(DatasetOptions.model_fields) | {"resolution"}


class RefusedKeys:
    """Takes refused keys out of tables and collects a sentence for each that would matter."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.problems: list[str] = []

    def arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the flat dialect without refused ones."""
        return self._kept(arguments, "")

    def tables(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return [general] and [[datasets]] without refused and misplaced keys."""
        kept = dict(data)
        if isinstance(general := data.get("general"), Mapping):
            kept["general"] = self._kept(self._placed_low(general, "general."), "general.")
        if "datasets" in data:
            kept["datasets"] = self._each(data["datasets"], "datasets", self._dataset)
        return kept

    def _dataset(self, table: Mapping[str, Any], where: str) -> dict[str, Any]:
        kept = self._kept(self._placed_low(table, where), where)
        if "subsets" in kept:
            kept["subsets"] = self._each(kept["subsets"], f"{where}subsets", self._subset)
        return kept

    def _subset(self, table: Mapping[str, Any], where: str) -> dict[str, Any]:
        belong = "belongs one level up, in [[datasets]]"
        return self._kept(self._without(table, _DATASET_ONLY, where, belong), where)

    def _placed_low(self, table: Mapping[str, Any], where: str) -> dict[str, Any]:
        belong = "belongs one level down, in [[datasets.subsets]]"
        return self._without(table, _SUBSET_ONLY, where, belong)

    def _each(self, tables: Any, where: str, check: _Check) -> Any:
        if not isinstance(tables, list | tuple):
            return tables  # of a wrong type: the model says so
        return [
            check(table, f"{where}[{index}].") if isinstance(table, Mapping) else table
            for index, table in enumerate(tables)
        ]

    def _kept(self, table: Mapping[str, Any], where: str) -> dict[str, Any]:
        for key, value in table.items():
            if key in _REFUSED and value not in _REFUSED[key][0]:
                self.problems.append(f"{self.source}: {where}{key}: {_REFUSED[key][1]}")
        return {key: value for key, value in table.items() if key not in _REFUSED}

    def _without(
        self, table: Mapping[str, Any], keys: Set[str], where: str, sentence: str
    ) -> dict[str, Any]:
        misplaced = [key for key in table if key in keys]
        self.problems += [f"{self.source}: {where}{key} {sentence}" for key in misplaced]
        return {key: value for key, value in table.items() if key not in keys}
