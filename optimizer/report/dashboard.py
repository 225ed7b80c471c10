"""optuna-dashboard on a study, reachable from this machine alone."""

from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore

from optimizer.config.study import StudyConfig
from optimizer.errors import InputError, StorageError
from optimizer.report.dashboard_storage import DashboardStorage, artifact_folder
from optimizer.report.tables import console
from optimizer.storage.database import open_database, storage_url
from optimizer.storage.proxy import is_proxy
from optimizer.study.open import load_existing

HOST = "127.0.0.1"
"""The dashboard has no login and can delete studies: it must not face a network."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A line per request would hide everything else."""


def dashboard_server(config: StudyConfig, port: int) -> WSGIServer:
    """A server that is bound but not serving yet; port 0 takes a free one.

    Raises:
        StudyError: there is no such study yet.
        StorageError: its database is behind a proxy.
        InputError: the port is taken.
    """
    from optuna_dashboard import wsgi

    url = storage_url(config.folder, config.study.storage)
    if is_proxy(url):
        raise StorageError(
            f"{config.path}: optuna-dashboard reads the database itself, not the proxy {url}; run "
            "it where the database is, with that as storage"
        )
    load_existing(config)
    opened = open_database(url, create=False)
    storage = DashboardStorage(opened.url, engine_kwargs=opened.engine_kwargs)
    folder = artifact_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    app = wsgi(storage, artifact_store=FileSystemArtifactStore(folder))
    try:
        return make_server(HOST, port, app, handler_class=_Quiet)
    except OSError as error:
        raise InputError(
            f"port {port} on {HOST} is taken ({error.strerror}); choose another with --port"
        ) from error


def serve(config: StudyConfig, port: int) -> None:
    """Serve until Ctrl-C; raises as `dashboard_server`."""
    with dashboard_server(config, port) as server:
        console.print(f"{config.name}: http://{HOST}:{port}/dashboard/  (Ctrl-C to stop)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")
