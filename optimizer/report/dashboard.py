"""optuna-dashboard on a study, reachable from this machine alone."""

import socket
from wsgiref.simple_server import WSGIRequestHandler, make_server

from optimizer.config.study import StudyConfig
from optimizer.errors import InputError
from optimizer.report.tables import console
from optimizer.storage.database import open_storage, storage_url
from optimizer.study.open import load_existing

HOST = "127.0.0.1"
"""The dashboard has no login and can delete studies: it must not face a network."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A line per request would hide everything else."""


def serve(config: StudyConfig, port: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        StudyError: there is no such study yet.
        InputError: the port is taken.
    """
    from optuna_dashboard import wsgi

    load_existing(config)
    storage = open_storage(storage_url(config.folder, config.study.storage), create=False)
    try:
        server = make_server(HOST, port, wsgi(storage), handler_class=_Quiet)
    except OSError as error:
        raise InputError(
            f"port {port} on {HOST} is taken ({error.strerror}); choose another with --port"
        ) from error
    with server:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        console.print(f"{config.name}: http://{HOST}:{port}/dashboard/  (Ctrl-C to stop)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")
