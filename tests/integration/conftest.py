"""The demo's tiny models, loaded once, and small studies made of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optimizer.config.dataset import DatasetConfig, dataset_config_from
from optimizer.config.study import ModelConfig
from optimizer.data.cache import TensorStore
from optimizer.data.records import scan
from optimizer.demo import layout
from optimizer.demo.world import subject_drawings
from optimizer.models.loading import load_model
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.prepared import PreparedData

WEIGHTS = Path(layout.__file__).parent / "weights"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Faster for models this small, and what makes two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models() -> dict[str, PipelineModel]:
    device = torch.device("cpu")
    return {
        family: load_model(
            ModelConfig(family=family, pretrained_model_name_or_path=str(WEIGHTS / family)), device
        )
        for family in ("sd15", "sdxl")
    }


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight captioned pictures of the subject."""
    folder = tmp_path / "images"
    layout.save_drawings(folder, subject_drawings(8, 64, seed=1))
    return folder


@pytest.fixture
def dataset(pictures: Path) -> Callable[[int], DatasetConfig]:
    """A dataset of those pictures at a resolution."""

    def make(resolution: int) -> DatasetConfig:
        subset = {"image_dir": str(pictures), "num_repeats": 2, "caption_extension": ".txt"}
        table = {"resolution": resolution, "batch_size": 4, "subsets": [subset]}
        return dataset_config_from({"datasets": [table]}, pictures / "dataset.toml")

    return make


@pytest.fixture
def prepared(
    dataset: Callable[[int], DatasetConfig], models: dict[str, PipelineModel], tmp_path: Path
) -> Callable[[str], PreparedData]:
    """Those pictures, ready to train a family on."""

    def make(family: str) -> PreparedData:
        model = models[family]
        store = TensorStore(tmp_path / "cache")
        return PreparedData(scan(dataset(model.native_resolution)), model, store)

    return make
