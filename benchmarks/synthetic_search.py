"""A search as the program does it, on a synthetic task: for search_efficiency.py.

The program's own samplers, seeds, pruner, outcomes and what is told of them; only the training and
the database are not real.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from synthetic_lora import BEST, EPOCHS, MEMORY_GB, NOISE, Task

from optimizer.config.study import SamplerName, SearchConfig
from optimizer.config.training import Hyperparameters
from optimizer.space.search_space import SearchSpace
from optimizer.study.results import counted_trials, epochs_saved, feasible_trials
from optimizer.study.samplers import build_sampler
from optimizer.study.seeds import count_seeds, enqueue_seeds
from optimizer.study.telling import tell
from optimizer.trial import attrs
from optimizer.trial.outcome import Outcome

Params = Mapping[str, Any]
MakeSampler = Callable[[optuna.Study, int], BaseSampler]


@dataclass(frozen=True)
class Trace:
    """A search: after each trial the true regret of the best-looking one and the epochs so far.

    missed: for each trial that was stopped early, whether it would have become truly the best.
    """

    study: optuna.Study
    regret: list[float]
    epochs: list[int]
    missed: list[bool]


class Search:
    """One search of one task: what the program's runner and objective do, without training.

    seed: names the noise too, so that policies are compared on the same luck where they agree.
    """

    def __init__(
        self, task: Task, space: SearchSpace, make: MakeSampler, pruner: BasePruner, seed: int
    ) -> None:
        self.task, self.space, self.make = task, space, make
        self.study = optuna.create_study(direction="maximize", pruner=pruner)
        self.rng = np.random.default_rng(seed)
        self.truth: dict[int, float] = {}
        self.trace = Trace(self.study, [], [], [])

    def run(self, seeds: Sequence[Params], done: Callable[[Trace], bool]) -> Trace:
        """Search until `done`; a trial that does not fit the memory costs one and no epochs."""
        enqueue_seeds(self.study, seeds, self.space)
        trace = self.trace
        while not done(trace):
            self.study.sampler = self.make(self.study, len(self.study.get_trials(deepcopy=False)))
            trial = self.study.ask()
            outcome = self._tried(trial)
            frozen = self.study._storage.get_trial(trial._trial_id)
            tell(self.study, frozen, outcome, Path())
            ranked = feasible_trials(self.study)
            trace.regret.append(BEST - (self.truth[ranked[0].number] if ranked else 0.0))
            trace.epochs.append(epochs_saved(counted_trials(self.study))[0])
        return trace

    def _tried(self, trial: optuna.Trial) -> Outcome:
        settings = self.space.suggest(trial)
        noise = self.rng.standard_normal(1 + len(EPOCHS)) * NOISE
        if self.task.memory(settings) > MEMORY_GB:
            return Outcome("infeasible", "out_of_memory")
        trial.set_user_attr(attrs.PLANNED_EPOCHS, EPOCHS[-1])
        trial.set_user_attr(attrs.STANDARD_ERROR, NOISE)
        curve, seen, early = self.task.curve(settings), {}, False
        for epoch, own in zip(EPOCHS, noise[1:], strict=True):
            seen[epoch] = curve[epoch] + noise[0] * (2 / 3) ** 0.5 + own * (1 / 3) ** 0.5
            trial.report(seen[epoch], epoch)
            if early := trial.should_prune():
                break
        if early:
            self.trace.missed.append(max(curve.values()) > max(self.truth.values()))
        best = max(seen, key=lambda e: seen[e])
        self.truth[trial.number] = curve[best]
        return Outcome(
            "complete", "complete", value=seen[best], attributes=self._facts(settings, epoch, early)
        )

    def _facts(self, settings: Hyperparameters, epoch: int, early: bool) -> dict[str, Any]:
        return {
            attrs.EFFECTIVE: settings.model_dump(include=set(self.space.config.parameters)),
            attrs.TRAINED_EPOCHS: epoch,
            **({attrs.EARLY_STOPPED: epoch} if early else {}),
        }


def ours(sampler: SamplerName, space: SearchSpace, seed: int) -> MakeSampler:
    """The program's sampler, built anew for each trial."""
    search = SearchConfig(name="x", n_trials=1, search_space=Path("x"), sampler=sampler, seed=seed)
    return lambda study, begun: build_sampler(
        search, space, seeds=count_seeds(study), trials_so_far=begun
    )


def optunas(seed: int) -> MakeSampler:
    """Optuna's default with nothing set but its seed."""
    sampler = TPESampler(seed=seed)
    return lambda study, begun: sampler
