"""An Optuna study as the source of a transfer: ours, or one that another program made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from optimizer.config.problems import did_you_mean
from optimizer.config.training import Hyperparameters
from optimizer.errors import TransferError
from optimizer.storage.database import storage_url
from optimizer.storage.outage import first_reason
from optimizer.study.best_params import usable_hyperparameters
from optimizer.trial import attrs
from optimizer.trial.worth import worth


@dataclass(frozen=True)
class SourceTrial:
    """A finished trial, and its hyperparameters as far as they are told."""

    number: int
    value: float
    hyperparameters: dict[str, Any]


@dataclass(frozen=True)
class SourceStudy:
    """Finished trials of a study, best first. `family` is None where another program made it."""

    name: str
    family: str | None
    trials: tuple[SourceTrial, ...]
    facts: dict[str, Any]
    """Of the best trial and its study, for provenance."""


def read_study(storage: str, name: str | None) -> SourceStudy:
    """Read the trials of a study; its database is neither created, changed nor migrated.

    Args:
        storage: database URL, `env:NAME` for one in a variable, or an SQLite file.
        name: may be left out where there is only one study.

    Raises:
        StorageError: `storage` is no database URL.
        TransferError: it cannot be read, has no such study, or no trial in it can be used.
    """
    url = _url(storage)
    shown = url.render_as_string(hide_password=True)
    try:
        study = _load(url, shown, name)
        return _read(study, f"{shown}: study {study.study_name}")
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = first_reason(error)
        raise TransferError(f"{shown} cannot be read as an Optuna database: {reason}") from error


def _url(storage: str) -> URL:
    if "://" not in storage and not storage.startswith("env:"):
        storage = f"sqlite:///{storage}"
    url = storage_url(Path(), storage)
    if url.password and not storage.startswith("env:"):
        raise TransferError(
            "--from-study must hold no password: the list of processes would show it; put the URL "
            "into an environment variable and give env:NAME"
        )
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise TransferError(f"{url.database}: no such database file")
    return url


def _load(url: URL, shown: str, name: str | None) -> optuna.Study:
    opened = RDBStorage(
        url.render_as_string(hide_password=False),
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    names = sorted(optuna.get_all_study_names(opened))
    there = ", ".join(names) or "none"
    if name is None:
        if len(names) != 1:
            raise TransferError(f"{shown}: say with --study-name which study; it has: {there}")
        name = names[0]
    if name not in names:
        hint = did_you_mean(name, names)
        raise TransferError(f"{shown} has no study {name}{hint}; it has: {there}")
    return optuna.load_study(study_name=name, storage=opened)


def _read(study: optuna.Study, source: str) -> SourceStudy:
    ours = attrs.FAMILY in study.user_attrs
    if len(study.directions) > 1 and not ours:
        raise TransferError(f"{source} has several objectives; which trial is best is not said")
    is_better_lower = study.directions[0] is StudyDirection.MINIMIZE
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    valued = [(value, trial) for trial in complete if (value := _value(trial)) is not None]
    if not valued:
        raise TransferError(f"{source} has no finished trial with a score")
    valued.sort(key=lambda pair: pair[0], reverse=not is_better_lower)
    trials = tuple(
        SourceTrial(trial.number, value, _hyperparameters(trial, f"{source}, trial {trial.number}"))
        for value, trial in valued
    )
    return SourceStudy(
        study.study_name, study.user_attrs.get(attrs.FAMILY), trials, _facts(study, valued[0][1])
    )


def _value(trial: FrozenTrial) -> float | None:
    if trial.user_attrs.get(attrs.FEASIBLE) is False:
        return None
    value = worth(trial)
    return value if value is not None and math.isfinite(value) else None


def _hyperparameters(trial: FrozenTrial, source: str) -> dict[str, Any]:
    """As trained where that is noted, else Optuna's own, and what else bears such a name."""
    known = Hyperparameters.model_fields
    noted = {name: value for name, value in trial.user_attrs.items() if name in known}
    told = trial.user_attrs.get(attrs.EFFECTIVE) or {}
    return usable_hyperparameters(noted | dict(trial.params) | told, source)


def _facts(study: optuna.Study, best: FrozenTrial) -> dict[str, Any]:
    kept = {
        "study": study.study_name,
        "trial": best.number,
        "objective": worth(best),
        "objective_se": best.user_attrs.get(attrs.STANDARD_ERROR),
        "family": study.user_attrs.get(attrs.FAMILY),
        "space_digest": study.user_attrs.get(attrs.SPACE_DIGEST),
        "max_train_steps": best.user_attrs.get(attrs.MAX_TRAIN_STEPS),
    }
    return {name: value for name, value in kept.items() if value is not None}


def diverse(trials: Sequence[SourceTrial], count: int) -> list[SourceTrial]:
    """The best trial, and others that are both good and far from those already chosen.

    Args:
        trials: best first; chosen among the best third, or the best 2 x count if that is more.
    """
    pool = list(trials[: max(2 * count, len(trials) // 3)])
    distance = _distance(pool)
    chosen = pool[:1]
    while len(chosen) < min(count, len(pool)):
        rest = [trial for trial in pool if trial not in chosen]
        chosen.append(max(rest, key=lambda t: min(distance(t, other) for other in chosen)))
    return chosen


def _distance(pool: Sequence[SourceTrial]) -> Callable[[SourceTrial, SourceTrial], float]:
    """Mean over the settings: share of a number's range, logarithmic where all are positive."""
    scales = {
        name: _scale([t.hyperparameters.get(name) for t in pool])
        for name in sorted({name for t in pool for name in t.hyperparameters})
    }

    def between(one: SourceTrial, other: SourceTrial) -> float:
        parts = (
            scale(one.hyperparameters.get(name), other.hyperparameters.get(name))
            for name, scale in scales.items()
        )
        return sum(parts) / max(len(scales), 1)

    return between


def _scale(values: Sequence[Any]) -> Callable[[Any, Any], float]:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or min(numbers) == max(numbers):
        return lambda one, other: float(one != other)
    place: Callable[[float], float] = math.log if min(numbers) > 0 else float
    span = place(max(numbers)) - place(min(numbers))
    return lambda one, other: abs(place(one) - place(other)) / span
