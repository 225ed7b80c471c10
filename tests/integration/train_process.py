"""Trains one LoRA in a process of its own: what tests start, kill and compare with.

Arguments: family, base model, folder of captioned pictures, output folder, settings as JSON.
Prints each step, and at last the digests of all checkpoints.
"""

import sys
from pathlib import Path

import torch

from optimizer.config.dataset import dataset_config_from
from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.data.records import scan
from optimizer.models.loading import load_model
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer


def main(family: str, weights: str, images: str, output: str, settings: str) -> None:
    torch.set_num_threads(1)
    config = ModelConfig(family=family, pretrained_model_name_or_path=weights)
    model = load_model(config, torch.device("cpu"))
    subset = {"image_dir": images, "num_repeats": 2, "caption_extension": ".txt"}
    table = {"resolution": model.native_resolution, "batch_size": 4, "subsets": [subset]}
    dataset = dataset_config_from({"datasets": [table]}, Path(images) / "dataset.toml")
    data = PreparedData(scan(dataset), model, TensorStore(Path(output) / "cache"))
    result = Trainer(model, data).train(
        Hyperparameters.model_validate_json(settings),
        Path(output),
        "mivo",
        state_folder=Path(output) / "state",
        state_every_s=0,
        observe=lambda step: print("step", step.global_step, flush=True),
    )
    print("sha", *[checkpoint.sha256 for checkpoint in result.checkpoints])


if __name__ == "__main__":
    main(*sys.argv[1:])
