"""Looking at a study that others write to."""

from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.storage.database import storage_url
from optimizer.storage.outline import OutlineError, OutlineReader
from optimizer.storage.proxy import is_proxy


class Onlooker:
    """Looks again and again, and reads only what is new.

    Raises:
        StorageError: its study's storage is no database URL.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self._url = storage_url(config.folder, config.study.storage)
        self._reader: OutlineReader | None = None

    def look(self) -> optuna.Study:
        """The study's outline at this moment; all of the study where only Optuna can read it.

        Raises:
            StudyError: there is no such study yet.
            StorageError: its database cannot be reached.
        """
        self._refuse_missing()
        if not is_proxy(self._url):
            try:
                self._reader = self._reader or OutlineReader(self._url, self.config.name)
                return self._reader.read()
            except (OutlineError, SQLAlchemyError, ImportError):
                pass  # Optuna finds the same, and says in a sentence what is to be done.
        from optimizer.study.open import load_existing

        return load_existing(self.config)

    def _refuse_missing(self) -> None:
        is_file = self._url.get_backend_name() == "sqlite" and self._url.database
        if is_file and not Path(str(self._url.database)).exists():
            raise StudyError(
                f"{self.config.path}: study {self.config.name} has not begun, its database "
                f"{self._url.database} is not there; start it with "
                f"`optimizer run {self.config.path}`"
            )
