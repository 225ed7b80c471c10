"""What a study has found, as plain values that pages, notes and messages are written from."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.report.estimate import Estimate
from optimizer.scoring.health import Health
from optimizer.trial import attrs
from optimizer.trial.worth import worth

FEWEST_FOR_IMPORTANCES = 8
"""Finished trials below which an importance is mostly luck."""


@dataclass(frozen=True)
class CheckpointRow:
    """One scored checkpoint of a trial."""

    epoch: int
    file: str
    objective: Estimate
    parts: dict[str, Estimate]
    is_usable: bool


@dataclass(frozen=True)
class TrialRow:
    """A trial as people see it. `outcome` is `complete`, or the class of what went wrong."""

    number: int
    outcome: str
    reason: str
    params: dict[str, Any]
    is_seed: bool
    seconds: float
    objective: Estimate | None = None
    """None unless the trial is feasible: a worst-so-far value told to the sampler is no score."""
    epoch: int | None = None
    checkpoint: str | None = None
    checkpoints: tuple[CheckpointRow, ...] = ()
    seed_id: str | None = None
    epochs: tuple[int, int] | None = None
    """Trained and planned; None where the trial does not say."""

    @property
    def best_parts(self) -> dict[str, Estimate]:
        """Metrics of the checkpoint that stands for the trial."""
        return next((c.parts for c in self.checkpoints if c.epoch == self.epoch), {})


@dataclass(frozen=True)
class Failures:
    """Trials that ended with one class of failure."""

    outcome: str
    count: int
    last_trial: int
    last_reason: str


@dataclass(frozen=True)
class Findings:
    """A study at one moment; `ranked` are its feasible trials, best first."""

    trials: tuple[TrialRow, ...]
    ranked: tuple[TrialRow, ...]
    failures: tuple[Failures, ...]
    running: int
    waiting: int
    importances: dict[str, float] = field(default_factory=dict)
    stop_reason: str | None = None

    @property
    def best(self) -> TrialRow | None:
        """The best feasible trial."""
        return self.ranked[0] if self.ranked else None

    @property
    def seconds(self) -> float:
        """Time spent in trials, failed ones included."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def epochs(self) -> tuple[int, int]:
        """Trained and planned, of all trials that say both: early stops saved the rest."""
        told = [trial.epochs for trial in self.trials if trial.epochs]
        return sum(trained for trained, _ in told), sum(planned for _, planned in told)


def find(study: optuna.Study, config: StudyConfig) -> Findings:
    """Read a study and the scores in its folder."""
    trials = study.get_trials(deepcopy=False)
    ended = tuple(trial_row(t, config.folder) for t in trials if t.state.is_finished())
    ranked = sorted((t for t in ended if t.objective), key=_objective, reverse=True)
    states = Counter(trial.state for trial in trials)
    return Findings(
        trials=ended,
        ranked=tuple(ranked),
        failures=_failures(ended),
        running=states[TrialState.RUNNING],
        waiting=states[TrialState.WAITING],
        importances=_importances(study, len(ranked)),
        stop_reason=study.user_attrs.get(attrs.STOP_REASON),
    )


def trial_row(trial: FrozenTrial, folder: Path) -> TrialRow:
    """A trial of Optuna's with the scores that lie in its folder."""
    facts = trial.user_attrs
    objective = None
    # A trial that was completed by hand, on the dashboard, has no checkpoint to show.
    value = worth(trial)
    if facts.get(attrs.FEASIBLE) and value is not None and attrs.CHECKPOINT in facts:
        objective = Estimate(value, float(facts.get(attrs.STANDARD_ERROR, 0.0)))
    outcome = facts.get(attrs.OUTCOME) or trial.state.name.lower()
    return TrialRow(
        number=trial.number,
        outcome=str(outcome),
        reason="" if outcome == "complete" else str(facts.get(attrs.REASON) or ""),
        params=dict(facts.get(attrs.EFFECTIVE) or trial.params),
        is_seed=attrs.SEED_ID in facts,
        seconds=_seconds(trial),
        objective=objective,
        epoch=facts.get(attrs.EPOCH),
        checkpoint=facts.get(attrs.CHECKPOINT),
        checkpoints=_checkpoints(folder / f"trial_{trial.number:04d}" / "scores.json"),
        seed_id=facts.get(attrs.SEED_ID),
        epochs=_epochs(facts),
    )


def lead(findings: Findings) -> Estimate | None:
    """By how much the best trial leads the second, None before there are two.

    Trials share prompts and seeds, so the sum of their variances is the most the noise can be.
    """
    if len(findings.ranked) < 2:
        return None
    first, second = (trial.objective for trial in findings.ranked[:2])
    if first is None or second is None:
        return None
    noise = math.hypot(first.standard_error, second.standard_error)
    return Estimate(first.value - second.value, noise)


def _objective(trial: TrialRow) -> float:
    return trial.objective.value if trial.objective else 0.0


def _epochs(facts: Mapping[str, Any]) -> tuple[int, int] | None:
    if attrs.TRAINED_EPOCHS not in facts:
        return None
    return int(facts[attrs.TRAINED_EPOCHS]), int(facts[attrs.PLANNED_EPOCHS])


def _seconds(trial: FrozenTrial) -> float:
    if attrs.SECONDS in trial.user_attrs:
        return float(trial.user_attrs[attrs.SECONDS])
    return trial.duration.total_seconds() if trial.duration else 0.0


def _checkpoints(path: Path) -> tuple[CheckpointRow, ...]:
    try:
        told = json.loads(path.read_bytes())["checkpoints"]
    except FileNotFoundError:
        return ()
    return tuple(
        CheckpointRow(
            epoch=one["epoch"],
            file=one["file"],
            objective=Estimate(one["objective"], one["objective_se"]),
            parts={name: Estimate(**part) for name, part in one["parts"].items()},
            is_usable=Health.from_dict(one["health"]).ok,
        )
        for one in told
    )


def _failures(trials: tuple[TrialRow, ...]) -> tuple[Failures, ...]:
    by_outcome: dict[str, list[TrialRow]] = {}
    for trial in trials:
        if trial.outcome != "complete":
            by_outcome.setdefault(trial.outcome, []).append(trial)
    rows = [
        Failures(outcome, len(group), group[-1].number, group[-1].reason)
        for outcome, group in by_outcome.items()
    ]
    return tuple(sorted(rows, key=lambda row: row.count, reverse=True))


def _worth(trial: FrozenTrial) -> float:
    return worth(trial) or 0.0


def _importances(study: optuna.Study, feasible: int) -> dict[str, float]:
    if feasible < FEWEST_FOR_IMPORTANCES:
        return {}
    try:
        return dict(optuna.importance.get_param_importances(study, target=_worth))
    except (RuntimeError, ValueError):  # all values alike, or no parameter shared by all trials
        return {}
