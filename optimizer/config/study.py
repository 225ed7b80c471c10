"""A study file: what is searched, on which base model and pictures, and how it is scored."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from optimizer.config.base import Frozen, ResolvedPath, load, parse, read_toml
from optimizer.config.dataset import DatasetConfig, dataset_config_from
from optimizer.config.duration import Duration
from optimizer.config.references import ModelReference
from optimizer.config.scoring import ScoringConfig
from optimizer.config.space import SpaceConfig, load_space
from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError

FamilyName = Literal["sd15", "sdxl"]
SamplerName = Literal["auto", "gp", "tpe", "random", "qmc", "cmaes", "nsga2"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class StopConfig(Frozen):
    """When a study stops before its last trial, at the first of these, and a trial early."""

    patience: Annotated[int, Field(ge=0)] = 0
    """Trials drawn by the sampler, one after another, without an improvement beyond the measured
    noise; 0 is never."""
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """Training and scoring, summed over the study's whole life."""
    timeout: Duration | None = None
    """Of one run: no trial is begun that is not likely to finish within it."""
    hopeless_trials: bool = True
    """Whether to end trials early that lag behind the median of the others at the same epoch."""


class SearchConfig(Frozen):
    """How long to search, with which sampler, and where the results go."""

    name: Name
    n_trials: Annotated[int, Field(ge=1)]
    search_space: ResolvedPath
    output_dir: ResolvedPath = Path("runs")
    storage: str | None = None
    """Database URL; an SQLite file in the study's folder when not given."""
    sampler: SamplerName = "auto"
    seed: int = 42
    memory: Literal["auto", "as_set"] = "auto"
    """`auto`: before each trial, how many pictures go through at once, checkpointing where that is
    "auto", and whether encoders leave the card are chosen so that it fits; the update stays the
    same. Only on CUDA. `as_set`: as the settings have it, and less once memory is out."""
    memory_limit: Annotated[float, Field(ge=1)] | None = None
    """GiB of the card that a worker may take before it is out of memory. Under WSL2, whose driver
    would spill into host memory instead, what is free when it starts if not given."""
    hold_out: Annotated[int, Field(ge=0)] = 4
    """Pictures never trained on, as references for scores; unused with scoring.reference_dir."""
    keep_checkpoints: Literal["all", "best", "last"] = "best"
    """Which LoRA files of a trial stay on disk; its best one always does."""
    keep_count: Annotated[int, Field(ge=1)] = 1
    """How many of the best or of the last."""
    stop: StopConfig = StopConfig()
    notify: tuple[str, ...] = ()
    """Where messages go: `env:NAME` each, the variable that holds an apprise URL."""
    names_folders_in_loras: bool = False
    """Write names of picture folders and their tags into LoRA files, as sd-scripts does."""


class ModelConfig(Frozen):
    """A base model."""

    family: FamilyName
    pretrained_model_name_or_path: ModelReference
    """Diffusers folder, single .safetensors file or hub id."""
    vae: ModelReference | None = None
    """A VAE to use instead of the base model's own."""
    config: ModelReference | None = None
    """Diffusers folder with the configs of a single file; fetched from the hub when not given."""
    attention: Literal["auto", "sdpa", "xformers"] = "auto"
    v_parameterization: bool | None = None
    """Whether the model predicts velocity; what its own scheduler says when not given."""
    zero_terminal_snr: bool | None = None
    """Whether its noise schedule ends in pure noise; likewise."""

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.zero_terminal_snr and self.v_parameterization is False:
            raise ValueError(
                "zero_terminal_snr needs v_parameterization: noise alone tells nothing of noise"
            )
        return self


class _StudyFile(Frozen):
    study: SearchConfig
    model: ModelConfig
    dataset: dict[str, Any]
    scoring: ScoringConfig
    training: Hyperparameters = Hyperparameters()


class StudyConfig(Frozen):
    """A study file with its search space and dataset, all checked."""

    path: Path
    study: SearchConfig
    model: ModelConfig
    dataset: DatasetConfig
    scoring: ScoringConfig
    training: Hyperparameters
    space: SpaceConfig

    @property
    def name(self) -> str:
        """The study's name, in Optuna and on disk."""
        return self.study.name

    @property
    def folder(self) -> Path:
        """Where the study lives on disk."""
        return self.study.output_dir / self.name

    def with_patience(self, patience: int) -> "StudyConfig":
        """The same study with another `stop.patience`."""
        stop = self.study.stop.model_copy(update={"patience": patience})
        return self.model_copy(update={"study": self.study.model_copy(update={"stop": stop})})


def load_study(path: Path) -> StudyConfig:
    """Read a study file and the files it names.

    Raises:
        ConfigError: with all problems of all files.
    """
    problems: list[str] = []
    try:
        file = load(_StudyFile, path)
    except ConfigError as error:
        raise ConfigError([*error.problems, *_problems_of_named_files(path)]) from None
    space = _collect(problems, load_space, file.study.search_space)
    dataset = _collect(problems, dataset_config_from, file.dataset, path)
    if space is not None:
        problems += _set_twice(path, file, space)
    problems += _told_password(path, file.study.storage)
    if file.scoring.clip_skip != file.training.clip_skip:
        problems.append(
            f"{path}: scoring.clip_skip must be what training.clip_skip is "
            f"({file.training.clip_skip}), found {file.scoring.clip_skip}: pictures are drawn as "
            "the LoRA was trained"
        )
    if problems or space is None or dataset is None:
        raise ConfigError(problems)
    parts = {name: getattr(file, name) for name in ("study", "model", "scoring", "training")}
    return StudyConfig(path=path, space=space, dataset=dataset, **parts)


def _collect(problems: list[str], read: Any, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except ConfigError as error:
        problems += error.problems
        return None


def _problems_of_named_files(path: Path) -> list[str]:
    """A broken study file should not hide the problems of its search space."""
    problems: list[str] = []
    study = read_toml(path).get("study")
    named = study.get("search_space") if isinstance(study, dict) else None
    if isinstance(named, str):
        _collect(problems, load_space, path.parent / named)
    return problems


def _told_password(path: Path, storage: str | None) -> list[str]:
    """Not by a validator: what those refuse is shown."""
    try:
        password = urlsplit(storage or "").password
    except ValueError:  # said with more words where the URL is opened
        return []
    if not password:
        return []
    return [
        f"{path}: study.storage must hold no password: it would be copied into the study's folder; "
        'put the URL into an environment variable and write storage = "env:NAME"'
    ]


def _set_twice(path: Path, file: _StudyFile, space: SpaceConfig) -> list[str]:
    both = sorted(file.training.model_fields_set & set(space.parameters))
    return [
        f"{path}: training.{name} is fixed here but searched in {file.study.search_space}; "
        "remove one of the two"
        for name in both
    ]


def parse_hyperparameters(data: dict[str, Any], source: Path) -> Hyperparameters:
    """Check a flat table of hyperparameters; raises ConfigError with all its problems."""
    return parse(Hyperparameters, data, source)
