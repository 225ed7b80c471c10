"""Looking at a study that others write to."""

import optuna
from sqlalchemy.exc import SQLAlchemyError

from optimizer.config.study import StudyConfig
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
        if not is_proxy(self._url):
            try:
                self._reader = self._reader or OutlineReader(self._url, self.config.name)
                return self._reader.read()
            except (OutlineError, SQLAlchemyError, ImportError):
                pass  # Optuna finds the same, and says in a sentence what is to be done.
        from optimizer.study.open import load_existing

        return load_existing(self.config)
