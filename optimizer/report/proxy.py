"""`optimizer proxy` as people see it."""

from optimizer.config.study import StudyConfig
from optimizer.errors import StorageError
from optimizer.report.tables import console
from optimizer.storage.database import open_database, storage_url
from optimizer.storage.proxy import is_proxy, serve_proxy


def serve(config: StudyConfig, host: str, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        StorageError: the database cannot be reached, is a proxy itself, or the port is taken.
    """
    url = storage_url(config.folder, config.study.storage)
    if is_proxy(url):
        raise StorageError(f"{config.path}: storage {url} is a proxy already; give the database's")
    storage = open_database(url)
    shown = url.render_as_string(hide_password=True)
    console.print(
        f'{shown}: workers reach it with storage = "grpc://{host}:{port}"  (Ctrl-C to stop)',
        soft_wrap=True,
        highlight=False,
    )
    try:
        serve_proxy(storage, host, port)
    except KeyboardInterrupt:
        console.print("stopped")
