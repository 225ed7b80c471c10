"""What is asked of a study all the time, read from its database with a few plain SELECTs.

Optuna maps every parameter, attribute and reported value of a trial to an object of its own and
checks the tables against its migrations first: seconds, for a thousand trials. An outline is read
in a tenth of that, never written, and has what says how a study stands: states, values, times and
user attributes; of parameters and intermediate values it knows nothing.
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Row,
    Select,
    TableClause,
    column,
    create_engine,
    select,
    table,
)
from sqlalchemy.engine import URL

SCHEMA_VERSION = 12
"""Of Optuna's tables, as they are read here; others are left to Optuna."""
_PATIENCE_SECONDS = 60
_FEW = 100
"""Trials that are asked for by name: a database takes only so many names in one question."""


class OutlineError(Exception):
    """The database has no such study, or tables of another Optuna: ask Optuna itself."""


class OutlineReader:
    """Reads the same study again and again; what ended is read once.

    Raises:
        ImportError: the database's driver is not installed.
        SQLAlchemyError: there is no such dialect.
    """

    def __init__(self, url: URL, name: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._engine = create_engine(**_read_only(url))
        self._name = name
        self._ended: dict[int, FrozenTrial] = {}

    def read(self) -> optuna.Study:
        """The study at this moment; it cannot be written to.

        Raises:
            OutlineError: it is not there, or cannot be read this way.
            SQLAlchemyError: the database cannot be read.
        """
        with self._engine.connect() as connection:
            if connection.scalar(select(_VERSION.c.schema_version)) != SCHEMA_VERSION:
                raise OutlineError("tables of another Optuna")
            study = connection.scalar(
                select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == self._name)
            )
            if study is None:
                raise OutlineError(f"no study {self._name}")
            outline = _Outline(self._name, connection, study, self._trials(connection, study))
        # Neither is asked for anything, and Optuna's own would be loaded for it.
        return optuna.load_study(
            study_name=self._name,
            storage=outline,
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.NopPruner(),
        )

    def _trials(self, connection: Connection, study: int) -> list[FrozenTrial]:
        # Before what belongs to them: a trial that has ended has everything by then.
        rows = connection.execute(select(_TRIALS).where(_TRIALS.c.study_id == study)).all()
        new = [row.trial_id for row in rows if row.trial_id not in self._ended]
        facts = _facts(connection, study, new)
        values = _values(connection, study, new)
        trials = {
            row.trial_id: self._ended.get(row.trial_id)
            or _trial(row, facts[row.trial_id], values[row.trial_id])
            for row in rows
        }
        self._ended = {key: trial for key, trial in trials.items() if trial.state.is_finished()}
        return sorted(trials.values(), key=lambda trial: trial.number)


class _Outline(InMemoryStorage):
    """What was read, as a storage to Optuna."""

    def __init__(
        self, name: str, connection: Connection, study: int, trials: list[FrozenTrial]
    ) -> None:
        super().__init__()
        made = self.create_new_study(_directions(connection, study), name)
        for key, value in _pairs(connection, _STUDY_USER, study):
            self.set_study_user_attr(made, key, value)
        for key, value in _pairs(connection, _STUDY_SYSTEM, study):
            self.set_study_system_attr(made, key, value)
        self._outline = trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Under the ids that they have in the database, which notes refer to."""
        return [trial for trial in self._outline if states is None or trial.state in states]


def _read_only(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine` for a connection that cannot change anything."""
    if url.get_backend_name() != "sqlite" or not url.database:
        options = {"isolation_level": "AUTOCOMMIT", "pool_pre_ping": True}
        return {"url": url, **options}
    # Not mode=ro: what a worker killed in the middle of a write left must be rolled back first.
    file = f"file:{quote(str(Path(url.database).absolute()))}"
    opened = URL.create("sqlite", database=file, query={"mode": "rw", "uri": "true"})
    return {"url": opened, "connect_args": {"timeout": _PATIENCE_SECONDS}}


def _table(name: str, *columns: str | Column[Any]) -> TableClause:
    return table(name, *(column(c) if isinstance(c, str) else c for c in columns))


_VERSION = _table("version_info", "schema_version")
_STUDIES = _table("studies", "study_id", "study_name")
_DIRECTIONS = _table("study_directions", "study_id", "objective", "direction")
_STUDY_USER = _table("study_user_attributes", "study_id", "key", "value_json")
_STUDY_SYSTEM = _table("study_system_attributes", "study_id", "key", "value_json")
_TRIALS = _table(
    "trials",
    *("trial_id", "study_id", "number", "state"),
    Column("datetime_start", DateTime),
    Column("datetime_complete", DateTime),
)
_USER = _table("trial_user_attributes", "trial_id", "key", "value_json")
_VALUES = _table("trial_values", "trial_id", "objective", "value", "value_type")
_INFINITE = {"INF_POS": inf, "INF_NEG": -inf}


def _directions(connection: Connection, study: int) -> list[StudyDirection]:
    c = _DIRECTIONS.c
    asked = select(c.direction).where(c.study_id == study).order_by(c.objective)
    return [StudyDirection[name] for name in connection.scalars(asked)]


def _pairs(connection: Connection, source: TableClause, study: int) -> Iterable[tuple[str, Any]]:
    asked = select(source.c.key, source.c.value_json).where(source.c.study_id == study)
    return [(key, json.loads(text)) for key, text in connection.execute(asked)]


def _of(asked: Select[Any], source: TableClause, study: int, trials: list[int]) -> Select[Any]:
    """Rows of some of a study's trials: by name, or of all where they are many."""
    if len(trials) <= _FEW:
        return asked.where(source.c.trial_id.in_(trials))
    whole = asked.join_from(source, _TRIALS, source.c.trial_id == _TRIALS.c.trial_id)
    return whole.where(_TRIALS.c.study_id == study)


def _facts(
    connection: Connection, study: int, trials: list[int]
) -> defaultdict[int, dict[str, Any]]:
    asked = _of(select(_USER.c.trial_id, _USER.c.key, _USER.c.value_json), _USER, study, trials)
    found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for trial, key, text in connection.execute(asked):
        found[trial][key] = json.loads(text)
    return found


def _values(
    connection: Connection, study: int, trials: list[int]
) -> defaultdict[int, dict[int, float]]:
    c = _VALUES.c
    asked = _of(select(c.trial_id, c.objective, c.value, c.value_type), _VALUES, study, trials)
    found: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for trial, objective, value, kind in connection.execute(asked):
        found[trial][objective] = _INFINITE.get(kind, value)
    return found


def _trial(row: Row[Any], facts: dict[str, Any], values: dict[int, float]) -> FrozenTrial:
    return FrozenTrial(
        number=row.number,
        state=TrialState[row.state],
        value=None,
        values=[values[place] for place in sorted(values)] or None,
        datetime_start=_local(row.datetime_start),
        datetime_complete=_local(row.datetime_complete),
        params={},
        distributions={},
        user_attrs=facts,
        system_attrs={},
        intermediate_values={},
        trial_id=row.trial_id,
    )


def _local(stored: datetime | None) -> datetime | None:
    """As Optuna gives it: it stores UTC and tells local time, both without their zone."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
