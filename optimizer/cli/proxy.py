"""`optimizer proxy`: share one database connection among many workers."""

from typing import Annotated

import typer

from optimizer.cli.options import StudyFile


def command(
    study: StudyFile,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; it has no login.")
    ] = "localhost",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 13000,
) -> None:
    """Serve a study's database to workers whose study file says storage = "grpc://HOST:PORT".

    For dozens of workers, which would have more connections than PostgreSQL allows.
    """
    from optimizer.config.study import load_study
    from optimizer.report.proxy import serve

    serve(load_study(study), host, port)
