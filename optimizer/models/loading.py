"""Base models from a diffusers folder, a single .safetensors file or the hub."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from optimizer.config.study import ModelConfig
from optimizer.errors import ModelError
from optimizer.logs import hide_loading_bars
from optimizer.models.attention import apply_attention, choose_attention
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.registry import FAMILIES, family_of_pipeline

logger = logging.getLogger(__name__)

SINGLE_FILE_SUFFIXES = {".safetensors", ".ckpt"}

TEXT_ENCODER_KEYS = {
    "cond_stage_model.transformer.": "sd15",
    "conditioner.embedders.1.model.": "sdxl",
}
"""What a single file calls its text encoders. SD 2 and the SDXL refiner have neither name."""

LORA_KEYS = (".lora_down.weight", ".lora_A.weight", ".lora.down.weight", ".hada_w1_a", ".lokr_w1")


def load_model(config: ModelConfig, device: torch.device) -> PipelineModel:
    """Load a base model for training and drawing.

    The UNet and text encoders are held in the device's half precision on CUDA (they are frozen:
    only the adapters train, in float32), the VAE in float32, which SDXL's needs to stay finite.

    Raises:
        ModelError: nothing usable lies there, or it is a model of the other family.
    """
    check_reference(config)
    reference, dtype = config.pretrained_model_name_or_path, frozen_dtype(device)
    with _explained(f"{reference} cannot be loaded as a {config.family} base model", reference):
        pipeline = _load_pipeline(config, dtype)
        _check_complete(pipeline)
    if config.vae is not None:
        with _explained(f"{config.vae} cannot be loaded as a VAE", config.vae):
            pipeline.vae = _load_vae(config.vae, pipeline.vae)
    _set_schedule(pipeline, config)
    pipeline.to(device)
    apply_attention(pipeline, choose_attention(config.attention, device))
    logger.info("loaded %s model %s on %s as %s", config.family, reference, device, dtype)
    return FAMILIES[config.family].model(pipeline, reference)


def _set_schedule(pipeline: Any, config: ModelConfig) -> None:
    """A single file says nothing of v-prediction: the user must."""
    wanted: dict[str, Any] = {}
    if config.v_parameterization is not None:
        kind = "v_prediction" if config.v_parameterization else "epsilon"
        wanted["prediction_type"] = kind
    if config.zero_terminal_snr is not None:
        wanted["rescale_betas_zero_snr"] = config.zero_terminal_snr
    scheduler_class = type(pipeline.scheduler)
    if config.zero_terminal_snr:
        from diffusers import DDIMScheduler

        # SD1.5's own scheduler knows no such schedule. Drawing must begin at the last timestep,
        # where the model saw pure noise.
        scheduler_class, wanted["timestep_spacing"] = DDIMScheduler, "trailing"
    pipeline.scheduler = scheduler_class.from_config(pipeline.scheduler.config, **wanted)


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


def frozen_dtype(device: torch.device) -> torch.dtype:
    """Precision of frozen weights: bf16 or fp16 on CUDA, float32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def best_device() -> torch.device:
    """The first CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load_pipeline(config: ModelConfig, dtype: torch.dtype) -> Any:
    reference, family = config.pretrained_model_name_or_path, FAMILIES[config.family]
    pipeline_class = family.pipeline_class()
    if Path(reference).is_absolute():
        hide_loading_bars()
    if Path(reference).suffix in SINGLE_FILE_SUFFIXES:
        # The VAE by itself: rounded to bf16 on the way to float32, it would lose what float32 is
        # for, and a single file's parts cannot be given a precision each.
        vae = _vae_of_file(reference, config=config.config, subfolder="vae")
        return pipeline_class.from_single_file(
            reference, dtype=dtype, config=config.config, vae=vae, **family.options
        )
    if not Path(reference).is_absolute():
        _check_hub_model(reference, config.family)
    dtypes = {"vae": torch.float32, "default": dtype}
    return pipeline_class.from_pretrained(reference, dtype=dtypes, **family.options)


def _load_vae(reference: str, replaced: Any) -> Any:
    from diffusers import AutoencoderKL

    if Path(reference).suffix in SINGLE_FILE_SUFFIXES:
        # Scaling factor and layout of the base model's own: guessed from the file's keys they
        # would always be SD1.5's, and fetched from the hub at that.
        with TemporaryDirectory() as folder:
            replaced.save_config(folder)
            vae = _vae_of_file(reference, config=folder)
    else:
        vae = AutoencoderKL.from_pretrained(reference, torch_dtype=torch.float32)
    if _latent_shape(vae) != _latent_shape(replaced):
        raise ModelError(f"{reference} is a VAE with other latents than this base model's")
    return vae


def _latent_shape(vae: Any) -> tuple[int, int]:
    return vae.config.latent_channels, len(vae.config.block_out_channels)


def _vae_of_file(reference: str, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_single_file(reference, torch_dtype=torch.float32, **options)


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


def _check_hub_model(reference: str, family: str) -> None:
    """What a folder's model_index.json says, of a model on the hub or in its cache."""
    from huggingface_hub import hf_hub_download

    index = Path(hf_hub_download(reference, "model_index.json"))
    _check_family(reference, family_of_pipeline(_class_name(index)), family)


def _loading_errors() -> tuple[type[Exception], ...]:
    """What diffusers, transformers and the hub raise when something is missing or does not fit."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    return OSError, ValueError, KeyError, RuntimeError, SafetensorError, SingleFileComponentError


def _check_complete(pipeline: Any) -> None:
    """What diffusers does not find in a single file stays without data, and it says nothing."""
    for name, part in pipeline.components.items():
        weights = part.named_parameters() if isinstance(part, torch.nn.Module) else ()
        missing = [weight for weight, parameter in weights if parameter.is_meta]
        if missing:
            raise KeyError(f"{name}.{missing[0]}")


@contextmanager
def _explained(problem: str, reference: str) -> Iterator[None]:
    """Whatever stops the loading of a reference becomes a sentence that says what to do."""
    try:
        yield
    except _loading_errors() as error:
        raise ModelError(f"{problem}: {_reason(reference, error)}") from error


def _reason(reference: str, error: Exception) -> str:
    from huggingface_hub import errors

    causes = _causes(error)
    if any(isinstance(cause, errors.RepositoryNotFoundError) for cause in causes):
        return "no such folder is here, and the hub has none by that id or wants `hf auth login`"
    if any(isinstance(c, errors.LocalEntryNotFoundError | ConnectionError) for c in causes):
        return _out_of_reach(reference)
    if any(isinstance(cause, errors.EntryNotFoundError) for cause in causes):
        return "on the hub it is not a diffusers model, a file of one is missing"
    if isinstance(error, KeyError):
        return f"weights are missing from the file, among them {error.args[0]}"
    # Moved before anyone could look which they are.
    if "meta tensor" in str(error):
        return "weights are missing from the file"
    # What follows a wrong shape is advice to programmers.
    return _first_line(error).partition(". If you want to instead")[0]


def _out_of_reach(reference: str) -> str:
    missing = "not in the hub cache, and the hub cannot be reached"
    if Path(reference).is_absolute():
        return (
            f"its configuration is {missing}; set model.config to a diffusers folder of this family"
        )
    return (
        f"no such folder is here, it is {missing}; connect once to download it, "
        "or give a folder or a .safetensors file"
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
