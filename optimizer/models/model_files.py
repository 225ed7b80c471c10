"""What lies where a base model is said to be: looked at before anything is loaded."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from optimizer.config.study import ModelConfig
from optimizer.errors import ModelError
from optimizer.models.registry import family_of_pipeline

SINGLE_FILE_SUFFIXES = {".safetensors", ".ckpt"}

TEXT_ENCODER_KEYS = {
    "cond_stage_model.transformer.": "sd15",
    "conditioner.embedders.1.model.": "sdxl",
}
"""What a single file calls its text encoders. SD 2 and the SDXL refiner have neither name."""

LORA_KEYS = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight", ".hada_w1_a", ".lokr_w1")


def check_reference(config: ModelConfig) -> None:
    """Say a wrong file or folder before anything is loaded; of the hub nothing is known yet.

    Raises:
        ModelError: it is missing, no model, or a model of the other family.
    """
    path = Path(config.pretrained_model_name_or_path)
    if path.suffix in SINGLE_FILE_SUFFIXES:
        _check_file(path, config.family)
        if config.config is not None and Path(config.config).is_absolute():
            _check_folder(Path(config.config), config.family)
    elif path.is_absolute():
        _check_folder(path, config.family)
    if config.vae is not None:
        _check_vae(Path(config.vae))


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .safetensors file, a folder or a hub id")
    return path


def _check_file(path: Path, family: str) -> None:
    keys = _keys_of(_existing_file(path))
    if keys is None:
        return
    if any(key.endswith(LORA_KEYS) for key in keys):
        raise ModelError(f"{path} is a LoRA, not a base model; give the model it was trained on")
    found = {f for start, f in TEXT_ENCODER_KEYS.items() if any(k.startswith(start) for k in keys)}
    if not found:
        raise ModelError(
            f"{path} is no whole model of Stable Diffusion 1.x or XL: it holds neither's text "
            "encoders"
        )
    _check_family(path, found.pop(), family)


def _keys_of(path: Path) -> list[str] | None:
    """Names of a .safetensors file's tensors; None for a .ckpt, a pickle without a header."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a readable .safetensors file, perhaps an unfinished download: {error}"
        ) from error


def _check_folder(path: Path, family: str) -> None:
    if not path.is_dir():
        raise ModelError(
            f"{path}: no such folder; give a diffusers folder, a .safetensors file or a hub id"
        )
    index = path / "model_index.json"
    if not index.is_file():
        raise ModelError(f"{path} is not a diffusers model folder: it has no model_index.json")
    _check_family(path, family_of_pipeline(_class_name(index)), family)


def _class_name(path: Path) -> str:
    """Which class diffusers saved here, "" when it does not say."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("_class_name", ""))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is not readable JSON: {error}") from error


def _check_family(reference: str | Path, found: str | None, family: str) -> None:
    if found != family:
        raise ModelError(
            f"{reference} holds a model of family {found or 'unknown'}, "
            f'but the study says family = "{family}"'
        )


def _check_vae(path: Path) -> None:
    if path.suffix in SINGLE_FILE_SUFFIXES:
        _keys_of(_existing_file(path))
    elif path.is_absolute():
        config = path / "config.json"
        if not config.is_file() or _class_name(config) != "AutoencoderKL":
            raise ModelError(
                f"{path} is not the folder of a VAE: it has no config.json of an AutoencoderKL; "
                'of a diffusers folder, give its subfolder "vae"'
            )


def check_hub_model(reference: str, family: str) -> None:
    """What a folder's model_index.json says, of a model on the hub or in its cache."""
    from huggingface_hub import hf_hub_download

    index = Path(hf_hub_download(reference, "model_index.json"))
    _check_family(reference, family_of_pipeline(_class_name(index)), family)
