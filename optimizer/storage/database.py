"""The database that a study lives in: SQLite beside its results, or PostgreSQL by URL."""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from optimizer.errors import StorageError, StudyError

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
            "storage is not a database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME, "
            "with @, : and / in a password as %40, %3A and %2F"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def open_storage(url: URL, *, create: bool = True) -> RDBStorage:
    """Connect, creating the tables on first use.

    Raises:
        StorageError: the database cannot be reached; never with a password in its text.
    """
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
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
    except (NoSuchModuleError, ImportError) as error:
        raise StorageError(
            f"{shown} cannot be opened: its driver is not installed ({error}); "
            'for PostgreSQL: pip install "lora-optimizer[postgres]"'
        ) from error
    except (SQLAlchemyError, RuntimeError, optuna.exceptions.OptunaError) as error:
        raise StorageError(f"{shown} cannot be opened: {_reason(error)}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}") from error


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None) or error.__cause__ or error
    text = str(getattr(original, "orig", original)).strip() or type(original).__name__
    return text.splitlines()[0]


@contextmanager
def sole_runner(folder: Path) -> Iterator[None]:
    """Be the only process of this host that runs a study: two on one card would crawl.

    Hosts, and containers, that share the folder and a PostgreSQL database run side by side.

    Raises:
        StudyError: another process holds it.
        StorageError: the folder cannot be written to.
    """
    _make_folder(folder)
    if not os.access(folder, os.W_OK):  # FileLock would take it for a lock that is held
        raise StorageError(f"{folder} cannot be written to")
    lock = _run_lock(folder)
    try:
        lock.acquire()
    except Timeout as error:
        raise StudyError(f"{folder}: another process is running this study") from error
    try:
        yield
    finally:
        lock.release()


def is_run_here(folder: Path) -> bool:
    """Whether a process of this host is the study's `sole_runner`."""
    if not folder.is_dir():
        return False
    try:
        with _run_lock(folder):
            return False
    except Timeout:
        return True


def _run_lock(folder: Path) -> FileLock:
    return FileLock(folder / f".run.{platform.node()}.lock", timeout=0)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold off the study's other workers: SQLite would give two of them the same waiting trial."""
    with FileLock(folder / ".ask.lock"):
        yield
