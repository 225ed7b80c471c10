"""Workers of one study take turns at what must not happen twice."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool


@contextmanager
def one_at_a_time(url: URL, folder: Path) -> Iterator[None]:
    """Hold off a study's other workers while a trial is asked for or seeds are enqueued.

    SQLite would give two of them the same waiting trial. With PostgreSQL the lock is the
    database's, so that it holds for workers on hosts that do not share the study's folder; else it
    is a file in that folder.

    Raises:
        OperationalError: PostgreSQL cannot be reached. If it goes away while the turn is held, the
            turn is simply over.
    """
    if url.get_backend_name() != "postgresql":
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".ask.lock"):
            yield
        return
    connection = create_engine(url, poolclass=NullPool).connect()
    try:
        # Of the transaction: gone with the connection, whatever becomes of this process.
        key = zlib.crc32(f"lora-optimizer {folder.name}".encode())
        connection.execute(select(func.pg_advisory_xact_lock(key)))
        yield
    finally:
        with suppress(SQLAlchemyError):
            connection.close()
