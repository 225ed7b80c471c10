"""Trials that end at once, as told."""

from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest

from optimizer.config.study import StudyConfig
from optimizer.space.fit import Fitted
from optimizer.study.loop import StudyResult
from optimizer.study.open import space_of
from optimizer.study.runner import run_study
from optimizer.trial.outcome import Outcome


class Quiet:
    """An audience that only remembers under which numbers trials ended, and which were best."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.best: list[int] = []

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        pass

    def trial_began(self, number: int) -> None:
        pass

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        self.ended.append(number)
        self.best += [number] if is_best else []


@pytest.fixture
def audience() -> Quiet:
    return Quiet()


@pytest.fixture
def run_values(audience: Quiet) -> Callable[..., StudyResult]:
    """Runs a study whose trials are worth `values`, None for infeasible; 0.5 after the last one.

    `during` is called within each trial, with it and with how many were begun before.
    """

    def run(
        config: StudyConfig,
        values: Sequence[float | None] = (),
        *,
        during: Callable[[optuna.Trial, int], None] = lambda trial, count: None,
        standard_error: float = 0.1,
        **options: Any,
    ) -> StudyResult:
        space = space_of(config)
        begun: list[int] = []

        def objective(trial: optuna.Trial) -> Outcome:
            settings = space.suggest(trial)
            count = len(begun)
            begun.append(trial.number)
            during(trial, count)
            value = values[count] if count < len(values) else 0.5
            if value is None:
                return Outcome("infeasible", "bad_pictures", "all black")
            facts = {
                "effective_params": settings.model_dump(include=set(config.space.parameters)),
                "checkpoint": f"trial_{trial.number:04d}/checkpoints/small.safetensors",
                "epoch": 1,
                "objective_se": standard_error,
                "max_train_steps": 40,
                "clip_i": value,
                "clip_t": 1 - value,
            }
            return Outcome("complete", "complete", value=value, attributes=facts)

        return run_study(config, lambda: objective, audience, **options)

    return run
