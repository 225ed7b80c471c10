"""Base models with random weights, and pictures to go with them, to measure speed and memory on."""

from collections.abc import Sequence
from pathlib import Path

import torch

from optimizer.config.dataset import dataset_config_from
from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.data.records import scan
from optimizer.demo import layout
from optimizer.models.base import PromptEmbeds
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.shapes import shapes_of
from optimizer.training.prepared import PreparedData

PICTURES = 8


def random_model(config: ModelConfig, device: torch.device) -> PipelineModel:
    """The architecture that `shapes_of` knows, initialised as torch does; no tokenizers."""
    model = shapes_of(config)
    for network in model.modules.values():
        network.to_empty(device=device)
        for part in network.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
    return model


class RandomData(PreparedData):
    """Pictures of the right sizes whose latents and embeddings are noise."""

    def __init__(self, model: PipelineModel, folder: Path, side: int, repeats: int) -> None:
        layout.save_drawings(folder / "images", layout.subject_drawings(PICTURES, side, seed=1))
        subset = {"image_dir": str(folder / "images"), "num_repeats": repeats}
        table = {"resolution": side, "subsets": [subset | {"caption_extension": ".txt"}]}
        dataset = dataset_config_from({"datasets": [table]}, folder / "dataset.toml")
        super().__init__(scan(dataset), model, TensorStore(folder / "cache"))
        self.latents.encode = lambda pixels: torch.randn(
            1, 4, *(side // model.vae_factor for side in pixels.shape[2:])
        )
        unet = model.pipeline.unet
        self.states = torch.randn(1, 77, int(unet.config.cross_attention_dim))
        self.pooled = None
        if model.family == "sdxl":
            self.pooled = torch.randn(1, model.pipeline.text_encoder_2.config.projection_dim)
        self.encode_all()

    def embeds(self, captions: Sequence[str], settings: Hyperparameters) -> PromptEmbeds:
        """The same noise for all captions."""
        states = self.states.expand(len(captions), -1, -1)
        pooled = None if self.pooled is None else self.pooled.expand(len(captions), -1)
        return PromptEmbeds(states, pooled)
