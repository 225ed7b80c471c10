"""Several audiences of one study: what people watch never hurts what they watch."""

import logging
from collections.abc import Sequence
from typing import Any

import optuna

from optimizer.errors import OptimizerError
from optimizer.space.fit import Fitted
from optimizer.storage.outage import OUTAGES
from optimizer.training.results import Step
from optimizer.trial.outcome import Outcome
from optimizer.trial.scored import ScoredCheckpoint

logger = logging.getLogger(__name__)

_EXPECTED = (OSError, OptimizerError, *OUTAGES)
"""A full disk, a file that was moved away, a database or a network that does not answer."""


class Spectator:
    """Watches a study and its trials, and does nothing; audiences say only what they care for."""

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        """Before the first trial."""

    def trial_began(self, number: int) -> None:
        """A trial is about to be trained."""

    def step(self, step: Step) -> None:
        """One update was made."""

    def scored(self, checkpoint: ScoredCheckpoint) -> None:
        """One checkpoint was drawn and scored; its trial can still be written to."""

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """A trial ended, one way or another."""


class Audiences(Spectator):
    """Tells every spectator in turn; what one of them raises is logged and goes no further."""

    def __init__(self, spectators: Sequence[Spectator]) -> None:
        self.spectators = tuple(spectators)
        self._said: set[str] = set()

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        """Before the first trial."""
        self._tell("study_opened", study, n_trials, seeds)

    def trial_began(self, number: int) -> None:
        """A trial is about to be trained."""
        self._tell("trial_began", number)

    def step(self, step: Step) -> None:
        """One update was made."""
        self._tell("step", step)

    def scored(self, checkpoint: ScoredCheckpoint) -> None:
        """One checkpoint was drawn and scored."""
        self._tell("scored", checkpoint)

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """A trial ended, one way or another."""
        self._tell("trial_ended", number, outcome, is_best)

    def _tell(self, event: str, *facts: Any) -> None:
        for spectator in self.spectators:
            try:
                getattr(spectator, event)(*facts)
            except _EXPECTED as error:
                self._say(f"{type(spectator).__name__} could not keep up at {event}: {error}")
            except Exception as error:  # noqa: BLE001  # not worth a night of training either
                what = f"{type(spectator).__name__} failed at {event}"
                self._say(f"{what} ({type(error).__name__}: {error}), a bug", trace=True)

    def _say(self, what: str, *, trace: bool = False) -> None:
        """Once: what goes wrong at every step would fill the log."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s; the study goes on", what, exc_info=trace)
