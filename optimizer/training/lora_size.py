"""How large a LoRA file will be, to the byte, before anything is trained."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.adapters import trained_adapters
from optimizer.training.lora_file import lora_file

_DTYPES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
_ALIGNMENT = 8


def lora_bytes(model: PipelineModel, settings: Hyperparameters, metadata: Mapping[str, str]) -> int:
    """Size in bytes of the file that training `model` with these settings writes.

    Args:
        model: may lie on the meta device; nothing is computed and nothing allocated then.
        metadata: what else the header holds.
    """
    with torch.device("meta"), trained_adapters(model, settings) as adapters:
        layers = int(model.pipeline.unet.config.layers_per_block)
        tensors, header = lora_file(model.family, adapters, settings, layers)
    return file_bytes(tensors, {**header, **metadata})


def file_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> int:
    """Size in bytes of a safetensors file, from shapes alone.

    Its format: eight bytes of length, a JSON header padded to eight, the tensors, wider types
    first (https://github.com/huggingface/safetensors#format).
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda kv: (-kv[1].element_size(), kv[0])):
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // _ALIGNMENT) * _ALIGNMENT + end
