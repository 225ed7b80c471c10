"""What a study begins with."""

from dataclasses import dataclass
from pathlib import Path

from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError
from optimizer.study.best_params import read_transfer
from optimizer.study.carry import from_predecessor
from optimizer.study.transfer import Transfer


@dataclass(frozen=True)
class Beginning:
    """Where the first trials come from, as a person said it; from nowhere if both are None."""

    init_params: Path | None = None
    new_study_from: Path | None = None

    def transfer(self, config: StudyConfig) -> Transfer | None:
        """The first trials, with where each comes from.

        Raises:
            InputError: what was named cannot be used, or two things were.
        """
        if self.init_params is not None and self.new_study_from is not None:
            raise ConfigError("give either --init-params or --new-study-from, not both")
        if self.init_params is not None:
            return read_transfer(self.init_params, config.model.family)
        if self.new_study_from is not None:
            return from_predecessor(config, load_study(self.new_study_from))
        return None

    def options(self) -> list[str]:
        """The same on a command line."""
        given = {"--init-params": self.init_params, "--new-study-from": self.new_study_from}
        return [str(part) for item in given.items() if item[1] is not None for part in item]
