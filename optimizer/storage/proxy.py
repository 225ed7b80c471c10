"""Optuna's gRPC proxy: many workers share the few connections of one process to the database."""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.storages import (
    BaseStorage,
    GrpcStorageProxy,
    get_storage,
    run_grpc_proxy_server,
)
from sqlalchemy.engine import URL

from optimizer.errors import StorageError

PORT = 13000
"""Optuna's own."""
_PATIENCE_SECONDS = 10.0


def is_proxy(url: URL) -> bool:
    """Whether a storage URL, `grpc://HOST:PORT`, means a proxy."""
    return url.drivername == "grpc"


def open_proxy(url: URL) -> GrpcStorageProxy:
    """Connect to a proxy; raises StorageError when nobody answers."""
    with warnings.catch_warnings():
        # It has been there since Optuna 4.2.
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = GrpcStorageProxy(host=url.host or "localhost", port=url.port or PORT)
    try:
        storage.wait_server_ready(_PATIENCE_SECONDS)
    except ConnectionError:
        raise StorageError(
            f"{url}: no proxy answers there within {_PATIENCE_SECONDS:.0f} seconds; start it with "
            "`optimizer proxy` where the database is"
        ) from None
    return storage


def serve_proxy(storage: BaseStorage, host: str, port: int) -> None:
    """Serve until interrupted; raises StorageError when the port cannot be had."""
    try:
        # With the cache that Optuna gives every study's storage.
        run_grpc_proxy_server(get_storage(storage), host=host, port=port)
    except RuntimeError as error:
        raise StorageError(f"port {port} on {host} cannot be had; give another --port") from error
