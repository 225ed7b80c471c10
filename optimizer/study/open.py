"""Opening a study: creating it, finding it again, refusing it when its settings have changed."""

import json
import logging
from difflib import unified_diff
from pathlib import Path
from typing import Any

import optuna

from optimizer.config.resolved import RESOLVED
from optimizer.config.scoring import ScoringConfig
from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.space.check import check_space
from optimizer.space.search_space import SearchSpace
from optimizer.storage.database import open_storage, storage_url
from optimizer.storage.places import slow_place
from optimizer.study.pruner import build_pruner
from optimizer.study.samplers import check_sampler
from optimizer.trial import attrs
from optimizer.trial.worth import objective_names

logger = logging.getLogger(__name__)


def space_of(config: StudyConfig) -> SearchSpace:
    """The study's search space; raises ConfigError when it cannot be searched."""
    space = SearchSpace(config.space, config.training)
    check_space(space, str(config.study.search_space))
    return space


def open_study(config: StudyConfig) -> optuna.Study:
    """Create the study or load it.

    Raises:
        ConfigError: its search space, or the sampler in this space, cannot be used.
        StorageError: its database cannot be opened.
        StudyError: it was made with another search space, scoring or model family, or its folder
            holds the trials of another study.
    """
    check_sampler(config, space_of(config))
    storage = open_storage(storage_url(config.folder, config.study.storage))
    names = objective_names(config.scoring)
    study = optuna.create_study(
        study_name=config.name,
        storage=storage,
        pruner=build_pruner(config.study.stop),
        directions=["maximize"] * len(names),
        load_if_exists=True,
    )
    settings = _settings(config)
    if slow := _slow_place(config):
        logger.warning(slow)
    if not study.get_trials(deepcopy=False):
        # Also where an earlier run died between creating the study and signing it.
        study.set_metric_names(names)
        for key in settings.keys() - study.user_attrs.keys():
            study.set_user_attr(key, settings[key])
    refuse_changes(study, config)
    _refuse_others_trials(study, config)
    return study


def load_existing(config: StudyConfig) -> optuna.Study:
    """Load a study to read from; raises StudyError when there is none."""
    storage = open_storage(storage_url(config.folder, config.study.storage), create=False)
    try:
        return optuna.load_study(study_name=config.name, storage=storage)
    except KeyError as error:
        raise StudyError(
            f"{config.path}: there is no study {config.name} in its storage yet; "
            "start it with `optimizer run`"
        ) from error


def _settings(config: StudyConfig) -> dict[str, Any]:
    space = space_of(config)
    return {
        attrs.FAMILY: config.model.family,
        attrs.FOLDER: str(config.folder.resolve()),
        attrs.SPACE: space.description(),
        attrs.SPACE_DIGEST: space.digest(),
        attrs.SCORING: _scoring(config.scoring),
    }


def _scoring(scoring: ScoringConfig) -> dict[str, Any]:
    """Paths absolute: a study file may be named from anywhere."""
    paths = {name: str(value.resolve()) for name, value in scoring if isinstance(value, Path)}
    return scoring.model_dump(mode="json", exclude={"finals"}) | paths


def _slow_place(config: StudyConfig) -> str | None:
    url = storage_url(config.folder, config.study.storage)
    is_file = url.get_backend_name() == "sqlite" and url.database
    return slow_place(Path(url.database).parent) if is_file and url.database else None


def refuse_changes(study: optuna.Study, config: StudyConfig) -> None:
    """Raises StudyError, with the difference, where trials could not be compared any more."""
    settings = _settings(config)
    for key in (attrs.FAMILY, attrs.SPACE, attrs.SCORING):
        stored, wanted = study.user_attrs.get(key), _plain(settings[key])
        if stored != wanted:
            raise StudyError(
                f"{config.path}: study {config.name} was made with another {key}; its trials "
                "cannot be compared. Undo the change, or give the changed study a new name and "
                f"begin with the old one's best: --new-study-from {config.folder / RESOLVED}\n"
                f"{_difference(stored, wanted)}"
            )


def _refuse_others_trials(study: optuna.Study, config: StudyConfig) -> None:
    """A study counts its trials from 0: a fresh one would write over the folders of another."""
    found = next(config.folder.glob("trial_*"), None)
    if found is not None and not study.get_trials(deepcopy=False):
        raise StudyError(
            f"{config.folder} holds trials ({found.name}) of a study {config.name} that is not in "
            "this database; bring its database back, or move the folder away to begin anew"
        )


def _plain(value: Any) -> Any:
    """As the database gives it back."""
    return json.loads(json.dumps(value))


def _difference(stored: Any, wanted: Any) -> str:
    before, after = (json.dumps(v, indent=1, sort_keys=True).splitlines() for v in (stored, wanted))
    return "\n".join(
        line for line in unified_diff(before, after, "stored", "now", n=0, lineterm="")
    )
