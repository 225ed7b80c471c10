"""Small real datasets, drawn with Pillow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from optimizer.config.dataset import Dataset, DatasetConfig, Subset

torch.set_num_threads(1)

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Write a picture below `images`, of noise unless given, and its caption; return its path."""

    def draw(
        name: str,
        size: tuple[int, int] = (64, 64),
        caption: str | None = "a, b",
        image: Image.Image | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (image or _noise(*size, seed=sum(name.encode()))).save(path, **options)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return path

    return draw


def _noise(width: int, height: int, seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """A dataset of 64 px with buckets, of the folder `images`; keys go where they belong."""

    def configure(*folders: dict[str, Any], **keys: Any) -> DatasetConfig:
        own = {k: v for k, v in keys.items() if k in Dataset.model_fields}
        inherited = {k: v for k, v in keys.items() if k in Subset.model_fields}
        here = {"image_dir": tmp_path / "images", "caption_extension": ".txt"}
        subsets = [here | inherited | folder for folder in folders or ({},)]
        sizes = {"resolution": (64, 64), "min_bucket_reso": 32, "max_bucket_reso": 128}
        steps = {"bucket_reso_steps": 8, "enable_bucket": True}
        return DatasetConfig.model_validate(
            {"datasets": (sizes | steps | own | {"subsets": subsets},)}
        )

    return configure
