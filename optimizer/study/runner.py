"""Running a study: the one place that asks Optuna for trials and tells it how they ended."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.resolved import write_resolved
from optimizer.config.study import StudyConfig
from optimizer.errors import DiskFullError, InputError, StudyStoppedError
from optimizer.space.fit import Fitted
from optimizer.storage.database import one_at_a_time, sole_runner
from optimizer.storage.disk import refuse_full_disk
from optimizer.study.announce import write_best
from optimizer.study.convergence import progress, remove_alert, write_alert, write_monitor
from optimizer.study.lease import Lease
from optimizer.study.open import open_study, space_of
from optimizer.study.outside import deletion_is_said, record_again
from optimizer.study.recovery import fail_and_retry, recover_orphans
from optimizer.study.results import BestTrial, best_trial, counted_trials
from optimizer.study.samplers import build_sampler
from optimizer.study.seeds import count_seeds, enqueue_seeds
from optimizer.study.signals import interruptible
from optimizer.study.stopping import Stopping, stop_file
from optimizer.trial import attrs
from optimizer.trial.outcome import Outcome

logger = logging.getLogger(__name__)

MOST_FAILURES_IN_A_ROW = 3
MOST_REFUSALS_IN_A_ROW = 200
WORST_VALUE = 0.0
"""The objective lies in [0, 1]; what cannot be scored is the worst there is."""

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


def run_study(
    config: StudyConfig,
    make_objective: Callable[[], Objective],
    audience: Audience,
    *,
    n_trials: int | None = None,
    seeds: Sequence[dict[str, Any]] = (),
    deadline: datetime | None = None,
) -> StudyResult:
    """Run what is left of a study.

    Args:
        make_objective: loads models and data; only called when there is a trial to run.
        n_trials: trials that count, over the study's whole life; the file's number if None.
        seeds: hyperparameters to try first.
        deadline: no trial is begun that is not likely to end before it; with its time zone. The
            file's timeout, from now, if None.

    Raises:
        InputError: the study cannot begin or go on; nothing that was found is lost.
        StudyStoppedError: too many trials failed, or were refused, in a row, or the disk
            is full.
    """
    wanted = n_trials or config.study.n_trials
    stopping = Stopping(config.study.stop, config.folder, wanted, deadline)
    with sole_runner(config.folder), interruptible():
        with one_at_a_time(config.folder):
            study = open_study(config)
            write_resolved(config)
            stop_file(config.folder).unlink(missing_ok=True)
            recover_orphans(study)
            fitted = enqueue_seeds(study, seeds, space_of(config))
        study.sampler = build_sampler(
            config.study,
            space_of(config),
            seeds=count_seeds(study),
            trials_so_far=len(study.get_trials(deepcopy=False)),
        )
        audience.study_opened(study, wanted, fitted)
        return _Loop(config, study, audience, stopping).run(make_objective)


class _Loop:
    """Trials one after another, until a rule says stop."""

    def __init__(
        self, config: StudyConfig, study: optuna.Study, audience: Audience, stopping: Stopping
    ) -> None:
        self.config, self.study, self.audience = config, study, audience
        self.stopping = stopping
        self.failures = self.refusals = self.new_trials = 0

    def run(self, make_objective: Callable[[], Objective]) -> StudyResult:
        with deletion_is_said(self.study, self.config):
            self.study.set_user_attr(attrs.STOP_REASON, None)
            remove_alert(self.config.folder)
            try:
                interrupted, reason = self._trials(make_objective)
            except StudyStoppedError as error:
                self.study.set_user_attr(attrs.STOP_REASON, str(error))
                raise
            self.study.set_user_attr(attrs.STOP_REASON, reason)
        return StudyResult(self.study, self._best(), self.new_trials, interrupted, reason)

    def _trials(self, make_objective: Callable[[], Objective]) -> tuple[bool, str]:
        """Returns whether a signal stopped the run, and why it stopped."""
        objective: Objective | None = None
        while (stop := self.stopping.check(self.study)) is None:
            objective = objective or make_objective()
            outcome = self._one(objective)
            if outcome.state == "interrupted":
                return True, f"{outcome.reason}; run again to go on"
        if stop.kind == "patience":
            write_alert(self.config.folder, self._best(), stop.sentence)
        return False, stop.sentence

    def _one(self, objective: Objective) -> Outcome:
        refuse_full_disk(self.config.folder)
        with one_at_a_time(self.config.folder):
            trial = self.study.ask()
            trial.set_user_attr(attrs.LEASE, Lease.mine().as_dict())
        self.audience.trial_began(trial.number)
        before = self._best()
        outcome, seconds = self._timed(objective, trial)
        recorded = self._tell(trial, outcome, seconds)
        best = self._best()
        improved = best is not None and best.number == recorded and best != before
        if best is not None and improved:
            self._write_best(best)
        write_monitor(self.config.folder, progress(counted_trials(self.study)))
        self.audience.trial_ended(recorded, outcome, improved)
        self._give_up_when_hopeless(outcome)
        return outcome

    def _timed(self, objective: Objective, trial: optuna.Trial) -> tuple[Outcome, float]:
        started = time.monotonic()
        try:
            outcome = objective(trial)
        except (InputError, DiskFullError) as error:
            # The pictures, say, have changed since the start: not this trial's fault. A full disk
            # may be the database's too; then the next start finds the trial.
            with suppress(optuna.exceptions.StorageInternalError):
                fail_and_retry(self.study, self._stored(trial), "input", str(error), counted=False)
            raise
        return outcome, round(time.monotonic() - started, 2)

    def _tell(self, trial: optuna.Trial, outcome: Outcome, seconds: float) -> int:
        """Tell Optuna how a trial ended; returns the number under which that is recorded."""
        feasible = outcome.state == "complete"
        value = float(outcome.value or WORST_VALUE) if feasible else WORST_VALUE
        facts = {attrs.OUTCOME: outcome.kind, attrs.REASON: outcome.reason}
        facts |= {attrs.FEASIBLE: feasible} | outcome.attributes | {attrs.SECONDS: seconds}
        told = True
        try:
            told = self._told(trial, outcome, value, facts)
        except optuna.exceptions.UpdateFinishedTrialError:
            told = False
        number = trial.number
        if outcome.state in ("complete", "infeasible"):
            self.new_trials += 1
            if not told:
                number = record_again(self.study, self._stored(trial), value, facts)
        return number

    def _told(
        self, trial: optuna.Trial, outcome: Outcome, value: float, facts: dict[str, Any]
    ) -> bool:
        """Whether the trial was still ours to tell."""
        if outcome.state in ("failed", "interrupted"):
            trial.set_user_attr(attrs.SECONDS, facts[attrs.SECONDS])
            counted = outcome.state == "failed"
            frozen = self._stored(trial)
            fail_and_retry(self.study, frozen, outcome.kind, outcome.reason, counted=counted)
            return True
        for key, fact in facts.items():
            trial.set_user_attr(key, fact)
        if outcome.state == "refused":
            self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            return True
        # What Optuna skips, because somebody was quicker, it returns as it found it.
        after = self.study.tell(trial, value, skip_if_finished=True)
        return after.state is TrialState.COMPLETE and after.value == value

    def _stored(self, trial: optuna.Trial) -> FrozenTrial:
        """A trial as it stands in the storage."""
        return self.study._storage.get_trial(trial._trial_id)

    def _best(self) -> BestTrial | None:
        return best_trial(self.study, self.config.folder)

    def _write_best(self, best: BestTrial) -> None:
        write_best(self.config, self.study, best)

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
