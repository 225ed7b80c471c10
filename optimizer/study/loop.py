"""A worker's trials one after another: the one place that asks Optuna for trials and tells it."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import optuna
from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.errors import DiskFullError, InputError, StudyStoppedError
from optimizer.space.fit import Fitted
from optimizer.storage.disk import refuse_full_disk
from optimizer.storage.outage import OUTAGES, outlast
from optimizer.storage.undisturbed import undisturbed
from optimizer.study.announce import write_best
from optimizer.study.convergence import progress, remove_alert, write_alert, write_monitor
from optimizer.study.lease import Lease, lease_renewed
from optimizer.study.open import space_of
from optimizer.study.outside import deletion_is_said
from optimizer.study.recovery import fail_and_retry, recover_orphans
from optimizer.study.results import BestTrial, best_trial, counted_trials
from optimizer.study.samplers import build_sampler
from optimizer.study.seeds import count_seeds
from optimizer.study.stopping import Stop, Stopping
from optimizer.study.telling import hand_back, recover_results, tell
from optimizer.study.turns import turn
from optimizer.trial import attrs
from optimizer.trial.outcome import Outcome

MOST_FAILURES_IN_A_ROW = 3
MOST_REFUSALS_IN_A_ROW = 200

Objective = Callable[[optuna.Trial], Outcome]


class Audience(Protocol):
    """Who watches a study run."""

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        """Before the first trial."""

    def trial_began(self, number: int) -> None:
        """A trial is about to be trained."""

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """A trial ended, one way or another."""


@dataclass(frozen=True)
class StudyResult:
    """Where a study stands when `run_study` returns."""

    study: optuna.Study
    best: BestTrial | None
    new_trials: int
    interrupted: bool
    stop_reason: str
    """Why no further trial was begun, and how to go on."""
    worn_out: bool = False
    """Whether this process should be replaced by a fresh one, which goes on."""


def _begun(study: optuna.Study) -> int:
    return sum(t.state is not TrialState.WAITING for t in study.get_trials(deepcopy=False))


@dataclass(frozen=True)
class _Ended:
    """Why a worker begins no further trial."""

    reason: str
    interrupted: bool = False
    worn_out: bool = False


class Loop:
    """Trials one after another, until a rule says stop."""

    def __init__(
        self, config: StudyConfig, study: optuna.Study, audience: Audience, stopping: Stopping
    ) -> None:
        self.config, self.study, self.audience = config, study, audience
        self.stopping, self.space = stopping, space_of(config)
        self.failures = self.refusals = self.new_trials = 0
        self.held: int | None = None
        """Optuna's id of the trial that was asked for and of which nothing is told yet."""

    def run(self, make_objective: Callable[[], Objective]) -> StudyResult:
        with deletion_is_said(self.study, self.config):
            self.study.set_user_attr(attrs.STOP_REASON, None)
            remove_alert(self.config.folder)
            try:
                ended = self._trials(make_objective)
            except KeyboardInterrupt as error:
                self._hand_back(f"stopped by {error}")
                raise
            except StudyStoppedError as error:
                self.study.set_user_attr(attrs.STOP_REASON, str(error))
                raise
            self.study.set_user_attr(attrs.STOP_REASON, ended.reason)
        return StudyResult(
            self.study,
            self._best(),
            self.new_trials,
            ended.interrupted,
            ended.reason,
            ended.worn_out,
        )

    def _trials(self, make_objective: Callable[[], Objective]) -> _Ended:
        objective: Objective | None = None
        while (stop := outlast(lambda: self.stopping.check(self.study))) is None:
            objective = objective or make_objective()
            found = outlast(self._next)
            if isinstance(found, Stop):
                stop = found
                break
            outcome = self._one(objective, *found)
            if outcome.state == "interrupted":
                return _Ended(f"{outcome.reason}; run again to go on", interrupted=True)
            if why := outcome.replace_worker:
                return _Ended(f"{why}; a fresh process goes on", worn_out=True)
        if stop.kind == "patience":
            write_alert(self.config.folder, self._best(), stop.sentence)
        return _Ended(stop.sentence)

    def _hand_back(self, reason: str) -> None:
        if self.held is not None:
            with suppress(*OUTAGES):  # then the next start finds the trial
                hand_back(self.study, self.held, reason, self.config.folder)

    def _next(self) -> tuple[optuna.Trial, Lease] | Stop:
        """Ask for a trial, unless another worker's last one has ended the study."""
        with turn(self.config):
            recover_results(self.study, self.config.folder)
            recover_orphans(self.study, self.config.folder)
            if stop := self.stopping.check(self.study):
                return stop
            refuse_full_disk(self.config.folder)
            # Anew each time: what it draws depends on what was begun before, not on which worker
            # asks or how often it was restarted.
            self.study.sampler = build_sampler(
                self.config.study,
                self.space,
                seeds=count_seeds(self.study),
                trials_so_far=_begun(self.study),
            )
            with undisturbed():
                trial, lease = self.study.ask(), Lease.mine()
                self.held = trial._trial_id
                trial.set_user_attr(attrs.LEASE, lease.as_dict())
            return trial, lease

    def _one(self, objective: Objective, trial: optuna.Trial, lease: Lease) -> Outcome:
        self.audience.trial_began(trial.number)
        before = outlast(self._best)
        with lease_renewed(trial, lease):
            outcome = self._tried(objective, trial)
        number, best = outlast(lambda: self._settle(trial, outcome))
        improved = best is not None and best.number == number and best != before
        self.new_trials += outcome.state in ("complete", "infeasible")
        self.audience.trial_ended(number, outcome, improved)
        self._give_up_when_hopeless(outcome)
        return outcome

    def _tried(self, objective: Objective, trial: optuna.Trial) -> Outcome:
        """The outcome of a trial and how long it took."""
        started = time.monotonic()
        try:
            outcome = objective(trial)
        except (InputError, DiskFullError) as error:
            # The pictures, say, have changed since the start: not this trial's fault. A full disk
            # may be the database's too; then the next start finds the trial.
            with suppress(*OUTAGES):
                frozen = self.study._storage.get_trial(trial._trial_id)
                fail_and_retry(self.study, frozen, "input", str(error), cost=0)
            raise
        seconds = {attrs.SECONDS: round(time.monotonic() - started, 2)}
        return replace(outcome, attributes=outcome.attributes | seconds)

    def _settle(self, trial: optuna.Trial, outcome: Outcome) -> tuple[int, BestTrial | None]:
        """Record an outcome; returns its number and the best trial there is then."""
        frozen = self.study._storage.get_trial(trial._trial_id)
        number = tell(self.study, frozen, outcome, self.config.folder)
        self.held = None
        best = self._best()
        if best is not None:
            # Also where it did not change: an earlier run may have died before it could.
            write_best(self.config, self.study, best)
        write_monitor(self.config.folder, progress(counted_trials(self.study)))
        return number, best

    def _best(self) -> BestTrial | None:
        return best_trial(self.study, self.config.folder)

    def _give_up_when_hopeless(self, outcome: Outcome) -> None:
        self.failures = self.failures + 1 if outcome.state == "failed" else 0
        self.refusals = self.refusals + 1 if outcome.state == "refused" else 0
        if self.failures >= MOST_FAILURES_IN_A_ROW:
            raise StudyStoppedError(
                f"study {self.config.name} stopped: {self.failures} trials in a row failed, "
                f"the last one with {outcome.kind}: {outcome.reason}"
            )
        if self.refusals >= MOST_REFUSALS_IN_A_ROW:
            raise StudyStoppedError(
                f"study {self.config.name} stopped: its constraints refused {self.refusals} "
                f"drawn trials in a row, the last one because: {outcome.reason}"
            )
