"""What a result file says of where it comes from."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from optimizer import __version__
from optimizer.trial.workbench import Workbench

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "optuna")


def provenance(bench: Workbench) -> dict[str, Any]:
    """Versions, device, and digests of base model, pictures and search space."""
    return {
        "versions": {"lora-optimizer": __version__} | {p: _version(p) for p in _PACKAGES},
        "device": bench.device_name(),
        "base_model": {"name": bench.model.name, "unet": bench.model.identity_of("unet")},
        "dataset_digest": bench.data.digest,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
