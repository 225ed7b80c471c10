"""Messages to a person who is not looking: Discord, Telegram, mail, desktop, through apprise."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from optimizer.config.study import StudyConfig
from optimizer.errors import ConfigError, OptimizerError
from optimizer.report.audiences import Spectator
from optimizer.report.tables import short
from optimizer.study.loop import StudyResult
from optimizer.trial import attrs
from optimizer.trial.outcome import Outcome

if TYPE_CHECKING:
    from apprise import Apprise

logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 3
"""Trials without a score, one after another, that are worth waking somebody for."""


class Notifier(Spectator):
    """Says when the best improves, when trials fail one after another, and how a study ended."""

    def __init__(self, config: StudyConfig, references: Sequence[str]) -> None:
        """Check where messages go; nothing is sent yet.

        Args:
            references: `env:NAME` each, the environment variable holding an apprise URL: those
                contain passwords, which have no place in a study file.

        Raises:
            ConfigError: a variable is not set, or holds no URL that apprise understands.
        """
        self.name = config.name
        self.apprise = _opened(config, references)
        self.failures = 0

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """Tell of a new best, and of the third failure in a row."""
        if outcome.state in ("failed", "infeasible"):
            self.failures += 1
        elif outcome.state == "complete":
            self.failures = 0
        if is_best:
            self._say(f"new best {outcome.value:.3f}", _best(number, outcome))
        if self.failures == FAILURES_IN_A_ROW:
            text = f"{self.failures} trials in a row gave no score."
            self._say(text.rstrip("."), f"{text} Trial {number}: {outcome.kind}: {outcome.reason}")

    def tell_the_end(self, run: Callable[[], StudyResult]) -> StudyResult:
        """Run a study, and tell what was found or why it cannot go on; raises what it raises."""
        try:
            result = run()
        except OptimizerError as error:
            self._say("stopped", str(error))
            raise
        state = "stopped by hand" if result.interrupted else "done"
        text = f"{result.new_trials} new trials."
        if best := result.best:
            text += f" Best: trial {best.number}, {best.value:.3f} ± {best.standard_error:.3f}."
            text += f" LoRA: {best.checkpoint}"
        self._say(state, text)
        return result

    def _say(self, title: str, body: str) -> None:
        if not self.apprise:
            return
        try:
            is_sent = self.apprise.notify(title=f"{self.name}: {title}", body=body)
        except Exception as error:  # noqa: BLE001  # a hundred messengers, each with its own
            # Without its text, which may quote the address and with it a password.
            what = type(error).__name__
            logger.warning("the message %r could not be sent (%s); the study goes on", title, what)
            return
        if not is_sent:
            logger.warning(
                "the message %r could not be sent to everybody; the study goes on", title
            )


def _best(number: int, outcome: Outcome) -> str:
    facts = outcome.attributes
    settings = ", ".join(f"{k} {short(v)}" for k, v in facts[attrs.EFFECTIVE].items())
    error = facts[attrs.STANDARD_ERROR]
    return (
        f"Trial {number}: {outcome.value:.3f} ± {error:.3f} at epoch {facts[attrs.EPOCH]}; "
        f"{settings}. LoRA: {facts[attrs.CHECKPOINT]}"
    )


def _opened(config: StudyConfig, references: Sequence[str]) -> "Apprise | None":
    if not references:
        return None
    from apprise import Apprise

    apprise, problems = Apprise(), []
    for reference in references:
        name = reference.removeprefix("env:")
        where = f'{config.path}: study.notify "{reference}"'
        url = os.environ.get(name)
        # The URL itself is never shown: it holds a password.
        if not reference.startswith("env:"):
            problems.append(f"{config.path}: study.notify must hold env:NAME, not the URL itself")
        elif not url:
            problems.append(f"{where}: the variable {name} is not set")
        elif not apprise.add(url):
            problems.append(
                f"{where}: {name} holds no address that apprise understands; it should look like "
                "discord://ID/TOKEN, tgram://TOKEN/CHAT or mailto://USER:PASSWORD@HOST"
            )
    if problems:
        raise ConfigError(problems)
    return apprise
