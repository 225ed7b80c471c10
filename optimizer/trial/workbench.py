"""Everything a trial needs, loaded once: base model, data, judge."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from platformdirs import user_cache_path

from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.data.pictures import read_upright
from optimizer.data.pixels import on_white
from optimizer.data.records import Record, picture_paths, scan
from optimizer.data.split import hold_out, hold_out_validation
from optimizer.errors import DatasetError, OptimizerError
from optimizer.files import write_json
from optimizer.models.device import best_device, device_name, limit_memory
from optimizer.models.loading import load_model
from optimizer.models.model_files import check_reference
from optimizer.models.pipeline_model import PipelineModel
from optimizer.scoring.encoders import ClipEncoder
from optimizer.scoring.extras import extra_metrics
from optimizer.scoring.prompts import plan_pictures
from optimizer.scoring.scorer import Scorer
from optimizer.training.adapters import trained_adapters
from optimizer.training.memory import MemoryWay
from optimizer.training.prepared import PreparedData
from optimizer.training.trainer import Trainer
from optimizer.trial.admission import Admission, admission_on

logger = logging.getLogger(__name__)

MOST_COMPARED = 200
"""Training pictures that copies are looked for among."""


@dataclass(frozen=True)
class Workbench:
    """The resident parts of a study in this process."""

    config: StudyConfig
    model: PipelineModel
    data: PreparedData
    trainer: Trainer
    scorer: Scorer
    admission: Admission | None

    def check_base_unchanged(self) -> None:
        """Raises OptimizerError when training has touched a frozen weight."""
        if self.model.fingerprint() != self.model.loaded_weights:
            raise OptimizerError(
                f"the base model {self.model.name} changed during a trial; its later trials would "
                "train on something else. Please report this as a bug"
            )

    def memory_way(self, settings: Hyperparameters) -> MemoryWay | None:
        """How to fit the card; None where nothing is to be chosen. Raises TooLargeError."""
        return self.admission.way(settings) if self.admission else None

    def device_name(self) -> str:
        """The graphics card, or the CPU."""
        return device_name(self.model.device)


def check_inputs(config: StudyConfig) -> None:
    """What can be said before anything is loaded or written.

    Raises:
        InputError: pictures, captions, prompts or model folders that cannot be used.
    """
    plan_pictures(config.scoring, str(config.path))
    _, held_out = _split(config, scan(config.dataset))
    _reference_paths(config, held_out)
    check_reference(config.model)


def open_workbench(config: StudyConfig) -> Workbench:
    """Load what a study needs; every problem of its data shows here, before the first trial.

    Raises:
        InputError: pictures, captions, prompts or models that cannot be used.
    """
    train, held_out = _split(config, scan(config.dataset))
    scorer = _scorer(config, train, held_out, best_device())
    model = scorer.model
    store = TensorStore(_cache() / "tensors")
    names_folders = config.study.names_folders_in_loras
    data = PreparedData(train, model, store, held_out, names_folders=names_folders)
    # A setting that this very model cannot have shows now, not in the first trial.
    with trained_adapters(model, config.training):
        pass
    data.encode_all()
    _say_long_captions(config, model, train)
    # Drawn now, while nothing is on the model yet.
    write_json(config.folder / "anchors.json", scorer.anchors.as_dict())
    admission = admission_on(model.device, config, train)
    return Workbench(config, model, data, Trainer(model, data), scorer, admission)


def open_scorer(config: StudyConfig, device: torch.device | None = None) -> Scorer:
    """Load a study's base model and judge, with its prompts and real pictures.

    device: the best there is when None.

    Raises:
        InputError: as `open_workbench`.
    """
    train, held_out = _split(config, scan(config.dataset))
    return _scorer(config, train, held_out, device or best_device())


def _scorer(
    config: StudyConfig,
    train: tuple[Record, ...],
    held_out: tuple[Record, ...],
    device: torch.device,
) -> Scorer:
    prompts = plan_pictures(config.scoring, str(config.path))
    references = [_opened(path) for path in _reference_paths(config, held_out)]
    training = (_opened(path) for path in _training_paths(train))
    limit_memory(device, config.study.memory_limit)
    encoder = ClipEncoder(config.scoring.clip_model, device)
    model = load_model(config.model, device)
    cache = _cache() / "scores"
    extras = extra_metrics(config.scoring, encoder, references)
    return Scorer(model, encoder, config.scoring, prompts, references, training, cache, extras)


def _cache() -> Path:
    """Shared by all studies: what is in it is named by its content."""
    return user_cache_path("lora-optimizer")


def training_records(config: StudyConfig) -> tuple[Record, ...]:
    """The pictures that a study trains on; raises DatasetError for those that cannot be used."""
    return _split(config, scan(config.dataset))[0]


def _split(
    config: StudyConfig, records: tuple[Record, ...]
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Training and held-out pictures; those of `validation_split` are never trained on either."""
    train, held_out = hold_out_validation(records, config.study.seed)
    if held_out or config.scoring.reference_dir is not None:
        return train, held_out
    return hold_out(train, config.study.hold_out, config.study.seed)


def _reference_paths(config: StudyConfig, held_out: tuple[Record, ...]) -> list[Path]:
    folder = config.scoring.reference_dir
    if folder is None:
        if not held_out:
            raise DatasetError(
                f"{config.path}: no pictures are left to compare with; add pictures, set "
                "study.hold_out, or give scoring.reference_dir"
            )
        return [record.path for record in held_out]
    if not folder.is_dir():
        raise DatasetError(f"{config.path}: scoring.reference_dir {folder} is no folder")
    paths, problems = picture_paths(folder)
    if problems or not paths:
        raise DatasetError(problems or f"{folder}: scoring.reference_dir holds no pictures")
    return paths


def _training_paths(records: tuple[Record, ...]) -> list[Path]:
    return sorted({record.path for record in records if not record.is_reg})[:MOST_COMPARED]


def _opened(path: Path) -> Image.Image:
    return on_white(read_upright(path))[0]


def _say_long_captions(
    config: StudyConfig, model: PipelineModel, records: tuple[Record, ...]
) -> None:
    """What is cut off silently is learnt by nobody."""
    windows = config.training.max_token_length // 75
    limit = windows * (model.pipeline.tokenizer.model_max_length - 2)
    longest = model.longest_caption([caption for r in records for caption in r.captions])
    if longest > limit:
        logger.warning(
            "captions have up to %d tokens, but only the first %d count; raise max_token_length",
            longest,
            limit,
        )
