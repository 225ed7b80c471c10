"""How near to the best settings does a search come, by where it begins and by which rules?

    python benchmarks/search_efficiency.py

Pairs of made-up tasks (see synthetic_lora.py): 50 trials on the source, then 20 on the target, by
the program's own samplers, transfer rules, seeds, early stop and outcomes; only the training and
the database are not real. Regret: the best that is possible, less what the trial that looks best
is truly worth. Prints Markdown.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from synthetic_lora import BEST, EPOCHS, MEMORY_GB, NOISE, Task, draw_pair, space_of_family

from optimizer.config.space import SpaceConfig
from optimizer.config.study import SamplerName, SearchConfig
from optimizer.config.training import Hyperparameters
from optimizer.space.search_space import SearchSpace
from optimizer.study.convergence import progress
from optimizer.study.pruner import BestSoFarPruner
from optimizer.study.results import counted_trials, epochs_saved, feasible_trials
from optimizer.study.samplers import build_sampler
from optimizer.study.seeds import count_seeds, enqueue_seeds
from optimizer.study.telling import tell
from optimizer.study.transfer import ENCODER_SHARE, SDXL_DIMS, transfer
from optimizer.trial import attrs
from optimizer.trial.outcome import Outcome

SHIFTS = (0.0, 0.3, 0.7)
SHOWN = (5, 10, 20)
SOURCE_TRIALS = 50
PATIENCES = (5, 10, 15, 20)

Params = Mapping[str, Any]
MakeSampler = Callable[[optuna.Study, int], BaseSampler]


@dataclass(frozen=True)
class Trace:
    """A search: after each trial the true regret of the best-looking one and the epochs so far."""

    study: optuna.Study
    regret: list[float]
    epochs: list[int]


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

    def run(self, seeds: Sequence[Params], done: Callable[[Trace], bool]) -> Trace:
        """Search until `done`; a trial that does not fit the memory costs one and no epochs."""
        enqueue_seeds(self.study, seeds, self.space)
        trace = Trace(self.study, [], [])
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


def narrow_space(best: Params) -> SearchSpace:
    """The guide's plan: what was best stays fixed but for the encoders' rate and the dim."""
    rate, wide = best["learning_rate"], space_of_family("sdxl")
    low, high = ENCODER_SHARE
    share = best["network_alpha"] / best["network_dim"]
    parameters = {
        "text_encoder_lr": {"type": "float", "low": rate * low, "high": rate * high},
        "network_dim": {"type": "categorical", "choices": SDXL_DIMS},
        "network_alpha": {"type": "float", "low": share, "high": share, "ratio_of": "network_dim"},
    }
    kept = {name: value for name, value in best.items() if name not in parameters}
    fixed = wide.fixed.model_copy(update=kept)
    return SearchSpace(SpaceConfig.model_validate({"parameters": parameters}), fixed)


def best_params(study: optuna.Study) -> list[Params]:
    """Effective settings of the feasible trials, best first."""
    return [trial.user_attrs[attrs.EFFECTIVE] for trial in feasible_trials(study)]


def diverse(ranked: Sequence[Params], count: int) -> list[Params]:
    """The best one and others that differ from all before them by a factor of two or a choice."""
    chosen: list[Params] = [ranked[0]]
    for params in ranked[1:]:
        if len(chosen) < count and all(_differ(params, other) for other in chosen):
            chosen.append(params)
    return chosen


def _differ(one: Params, other: Params) -> bool:
    chosen = ("network_dim", "optimizer_type", "lr_scheduler")
    return (
        abs(np.log2(one["learning_rate"] / other["learning_rate"])) > 1
        or sum(one[name] != other[name] for name in chosen) > 1
    )


@dataclass(frozen=True)
class Start:
    """What a policy is given: the target's space and a random state, the source's best trials."""

    space: SearchSpace
    seed: int
    ranked: Sequence[Params]

    @property
    def ladder(self) -> list[Params]:
        """The trials that `--init-params` begins with."""
        return list(transfer(self.ranked[0], "sdxl", {"family": "sd15"}).seeds)

    @property
    def others(self) -> list[Params]:
        """The first rung of two more trials of the source."""
        more = diverse(self.ranked, 3)[1:]
        return [transfer(one, "sdxl", {"family": "sd15"}).seeds[0] for one in more]


@dataclass(frozen=True)
class Policy:
    """How a target is searched."""

    sampler: Callable[[Start], MakeSampler]
    seeds: Callable[[Start], list[Params]] = lambda start: []
    stops_early: bool = False
    narrow: bool = False


def _tpe(start: Start) -> MakeSampler:
    return optunas(start.seed)


def _auto(start: Start) -> MakeSampler:
    return ours("auto", start.space, start.seed)


POLICIES = {
    "cold TPE (Optuna's default)": Policy(_tpe),
    "cold GP": Policy(_auto),
    "best-1 enqueued, TPE": Policy(_tpe, lambda start: start.ladder[:1]),
    "the guide's narrow plan": Policy(_tpe, lambda start: start.ladder[:1], narrow=True),
    "**the default: ladder, GP, early stop**": Policy(
        _auto, lambda start: start.ladder, stops_early=True
    ),
}
DEFAULT, FULL = list(POLICIES)[-1], "ladder, no early stop"
ABLATIONS = {
    FULL: Policy(_auto, lambda start: start.ladder),
    "ladder and two more, no early stop": Policy(_auto, lambda s: s.ladder + s.others),
}


def run_source(number: int) -> Trace:
    """The source's search, which does not depend on the shift."""
    source, _ = draw_pair(np.random.default_rng(number), 0.0)
    space = space_of_family("sd15")
    search = Search(source, space, ours("tpe", space, number), BestSoFarPruner(), number)
    return search.run([], lambda trace: len(trace.regret) >= SOURCE_TRIALS)


def run_target(
    number: int, shift: float, source: Trace, policies: Mapping[str, Policy]
) -> dict[str, Trace]:
    """Each policy's search on the source's target."""
    _, target = draw_pair(np.random.default_rng(number), shift)
    ranked = best_params(source.study)
    spends_savings = FULL in policies
    return {
        name: _searched(policy, target, ranked, 1000 + number, spends_savings)
        for name, policy in policies.items()
    }


def _searched(
    policy: Policy, target: Task, ranked: Sequence[Params], seed: int, spends_savings: bool
) -> Trace:
    space = narrow_space(ranked[0]) if policy.narrow else space_of_family("sdxl")
    start = Start(space, seed, ranked)
    pruner = BestSoFarPruner() if policy.stops_early else NopPruner()
    search = Search(target, space, policy.sampler(start), pruner, seed)
    # What early stops save is spent on more trials, to compare at equal epochs too.
    epochs = SHOWN[-1] * EPOCHS[-1] if policy.stops_early and spends_savings else 0
    return search.run(
        policy.seeds(start),
        lambda trace: len(trace.regret) >= SHOWN[-1] and trace.epochs[-1] >= epochs,
    )


def mean(values: Sequence[float]) -> str:
    """A mean with its standard error."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def report(traces: dict[float, list[dict[str, Trace]]]) -> None:
    """The tables."""
    after = "/".join(map(str, SHOWN))
    print(f"| after {after} trials | " + " | ".join(f"shift {s:g}" for s in traces) + " |")
    print("|---|" + "---|" * len(traces))
    for name in next(iter(traces.values()))[0]:
        cells = [
            " / ".join(mean([t[name].regret[k - 1] for t in pairs]) for k in SHOWN)
            for pairs in traces.values()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()
    for shift, pairs in traces.items():
        _report_ratio(shift, pairs)
        if DEFAULT in pairs[0] and FULL in pairs[0]:
            _report_early_stop(shift, pairs)


def _report_ratio(shift: float, pairs: list[dict[str, Trace]]) -> None:
    cold, *rest = pairs[0]
    base = np.array([pair[cold].regret[SHOWN[-1] - 1] for pair in pairs])
    for name in rest:
        own = np.array([pair[name].regret[SHOWN[-1] - 1] for pair in pairs])
        print(
            f"- shift {shift:g}, {SHOWN[-1]} trials, {name}: {1 - own.mean() / base.mean():+.0%} "
            f"below cold TPE, difference {mean(list(base - own))}"
        )


def _report_early_stop(shift: float, pairs: list[dict[str, Trace]]) -> None:
    last = SHOWN[-1]
    saved = [1 - pair[DEFAULT].epochs[last - 1] / pair[FULL].epochs[last - 1] for pair in pairs]
    without = [pair[FULL].regret[last - 1] for pair in pairs]
    with_it = [_at_epochs(pair[DEFAULT], pair[FULL].epochs[last - 1]) for pair in pairs]
    print(
        f"- shift {shift:g}, early stop: saves {np.mean(saved):.0%} of the epochs of {last} trials;"
        f" regret at equal epochs {mean(with_it)}, without {mean(without)}"
    )


def _at_epochs(trace: Trace, epochs: int) -> float:
    """The regret when so many epochs were trained, an unfinished trial not counted."""
    done = sum(spent <= epochs for spent in trace.epochs)
    return trace.regret[done - 1]


def report_source(sources: Sequence[Trace]) -> None:
    """Patience and early stop in the long search on the source."""
    share = [1 - t.epochs[-1] / epochs_saved(counted_trials(t.study))[1] for t in sources]
    print(f"\nSource, {SOURCE_TRIALS} trials of TPE: early stop saves {np.mean(share):.0%}.\n")
    print("| patience | stops after trials | regret | fires in |\n|---|---|---|---|")
    for patience in PATIENCES:
        ends = [_stopped(trace, patience) for trace in sources]
        regret = [trace.regret[end - 1] for trace, end in zip(sources, ends, strict=True)]
        fired = np.mean([end < SOURCE_TRIALS for end in ends])
        print(f"| {patience} | {np.mean(ends):.1f} | {mean(regret)} | {fired:.0%} |")
    print(f"| never | {SOURCE_TRIALS} | {mean([t.regret[-1] for t in sources])} | |")


def _stopped(trace: Trace, patience: int) -> int:
    rows = progress(counted_trials(trace.study))
    fired = (n for n, row in enumerate(rows, 1) if row.since_improvement >= patience)
    return next(fired, len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    parser.add_argument("--shifts", type=float, nargs="+", default=SHIFTS)
    parser.add_argument("--ablations", action="store_true", help="without parts of the default")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    policies = POLICIES | (ABLATIONS if options.ablations else {})
    started = time.process_time()
    numbers = range(options.first, options.first + options.pairs)
    sources = {number: run_source(number) for number in numbers}
    traces = {
        shift: [run_target(number, shift, sources[number], policies) for number in numbers]
        for shift in options.shifts
    }
    print(f"{options.pairs} pairs, {time.process_time() - started:.0f} s of one core\n")
    report(traces)
    report_source(list(sources.values()))


if __name__ == "__main__":
    main()
