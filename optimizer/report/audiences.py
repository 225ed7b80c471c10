"""Several audiences of one study: what people watch never hurts what they watch."""

import logging
from collections.abc import Callable, Sequence

import optuna

from optimizer.space.fit import Fitted
from optimizer.study.runner import Audience
from optimizer.trial.outcome import Outcome

logger = logging.getLogger(__name__)


class Audiences:
    """Tells every audience in turn; what one of them raises is logged and goes no further."""

    def __init__(self, audiences: Sequence[Audience]) -> None:
        self.audiences = tuple(audiences)

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        """Before the first trial."""
        self._tell(lambda audience: audience.study_opened(study, n_trials, seeds))

    def trial_began(self, number: int) -> None:
        """A trial is about to be trained."""
        self._tell(lambda audience: audience.trial_began(number))

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """A trial ended, one way or another."""
        self._tell(lambda audience: audience.trial_ended(number, outcome, is_best))

    def _tell(self, call: Callable[[Audience], None]) -> None:
        for audience in self.audiences:
            try:
                call(audience)
            except Exception:  # no page or message is worth a night of training
                logger.exception("%s failed; the study goes on", type(audience).__name__)
