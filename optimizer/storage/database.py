"""The database that a study lives in: SQLite beside its results, PostgreSQL or a proxy by URL."""

import logging
import os
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage, get_storage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from optimizer.errors import StorageError, StudyError
from optimizer.storage.outage import first_reason
from optimizer.storage.proxy import is_proxy, open_proxy
from optimizer.storage.undisturbed import hold_signals_back

logger = logging.getLogger(__name__)

SQLITE_TIMEOUT_SECONDS = 60


def storage_url(folder: Path, configured: str | None) -> URL:
    """The study's database URL: as configured, from the environment, or a file in its folder.

    `env:NAME` takes the URL from that environment variable, so that no password need stand in a
    study file.

    Raises:
        StorageError: it is no database URL.
    """
    if configured is None:
        return URL.create("sqlite", database=str((folder / "optimizer.db").resolve()))
    if configured.startswith("env:"):
        name = configured.removeprefix("env:")
        if name not in os.environ:
            raise StorageError(f'storage = "{configured}": the variable {name} is not set')
        configured = os.environ[name]
    try:
        url = make_url(configured)
    except (ArgumentError, ValueError):
        # Without the cause: it may quote a part of the password.
        raise StorageError(
            "storage is not a database URL; write sqlite:///FILE, postgresql://USER@HOST/NAME or "
            "grpc://HOST:PORT, "
            "with @, : and / in a password as %40, %3A and %2F"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def open_storage(url: URL, *, create: bool = True) -> BaseStorage:
    """Connect, creating the tables on first use.

    Raises:
        StorageError: the database cannot be reached; never with a password in its text.
        StudyError: there is no SQLite file yet and `create` is false.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_proxy(url) if is_proxy(url) else open_database(url, create=create)
    # With the cache that Optuna gives every study's storage.
    return hold_signals_back(get_storage(storage))


def open_database(url: URL, *, create: bool = True) -> RDBStorage:
    """As `open_storage`, of a database itself."""
    shown = url.render_as_string(hide_password=True)
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database:
        path = Path(url.database)
        if not create and not path.exists():
            raise StudyError(f"{path}: no study there yet; start it with `optimizer run`")
        _make_folder(path.parent)
    # An overnight trial outlives idle connections: PostgreSQL's are tested before each use.
    options = (
        {"connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS}}
        if is_sqlite
        else {"pool_pre_ping": True}
    )
    try:
        return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
    except (NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"{shown} cannot be opened: its driver is not installed ({error}); "
            'for PostgreSQL: pip install "lora-optimizer[postgres]"'
        ) from error
    except (SQLAlchemyError, RuntimeError, optuna.exceptions.OptunaError) as error:
        raise StorageError(f"{shown} cannot be opened: {first_reason(error)}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}") from error
