"""Base models from a diffusers folder, a single .safetensors file or the hub."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from optimizer.config.study import ModelConfig
from optimizer.errors import ModelError
from optimizer.logs import hide_loading_bars
from optimizer.models.attention import apply_attention, choose_attention
from optimizer.models.loading_errors import explained
from optimizer.models.model_files import SINGLE_FILE_SUFFIXES, check_hub_model, check_reference
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.registry import FAMILIES

logger = logging.getLogger(__name__)


def load_model(config: ModelConfig, device: torch.device) -> PipelineModel:
    """Load a base model for training and drawing.

    The UNet and text encoders are held in the device's half precision on CUDA (they are frozen:
    only the adapters train, in float32), the VAE in float32, which SDXL's needs to stay finite.

    Raises:
        ModelError: nothing usable lies there, or it is a model of the other family.
    """
    check_reference(config)
    reference, dtype = config.pretrained_model_name_or_path, frozen_dtype(device)
    with explained(f"{reference} cannot be loaded as a {config.family} base model", reference):
        pipeline = _load_pipeline(config, dtype)
        _check_complete(pipeline)
    if config.vae is not None:
        with explained(f"{config.vae} cannot be loaded as a VAE", config.vae):
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


def frozen_dtype(device: torch.device) -> torch.dtype:
    """Precision of frozen weights: bf16 or fp16 on CUDA, float32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


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
        check_hub_model(reference, config.family)
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


def _check_complete(pipeline: Any) -> None:
    """What diffusers does not find in a single file stays without data, and it says nothing."""
    for name, part in pipeline.components.items():
        weights = part.named_parameters() if isinstance(part, torch.nn.Module) else ()
        missing = [weight for weight, parameter in weights if parameter.is_meta]
        if missing:
            raise KeyError(f"{name}.{missing[0]}")
