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
        for audience in self.audiences:
            _tell(audience, lambda a=audience: a.study_opened(study, n_trials, seeds))

    def trial_began(self, number: int) -> None:
        """A trial is about to be trained."""
        for audience in self.audiences:
            _tell(audience, lambda a=audience: a.trial_began(number))

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """A trial ended, one way or another."""
        for audience in self.audiences:
            _tell(audience, lambda a=audience: a.trial_ended(number, outcome, is_best))


def _tell(audience: Audience, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # a page, a note or a message is not worth a night of training
        logger.exception("%s failed; the study goes on", type(audience).__name__)
