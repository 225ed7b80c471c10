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

import numpy as np
import optuna
from optuna.pruners import NopPruner
from synthetic_lora import EPOCHS, Task, draw_pair, space_of_family
from synthetic_search import MakeSampler, Params, Search, Trace, optunas, ours

from optimizer.config.space import SpaceConfig
from optimizer.space.search_space import SearchSpace
from optimizer.study.convergence import progress
from optimizer.study.pruner import BestSoFarPruner
from optimizer.study.results import counted_trials, epochs_saved, feasible_trials
from optimizer.study.transfer import transfer
from optimizer.study.transfer_rules import ENCODER_SHARE, SDXL_DIMS
from optimizer.trial import attrs

SHIFTS = (0.0, 0.3, 0.7)
SHOWN = (5, 10, 20)
SOURCE_TRIALS = 50
PATIENCES = (5, 10, 15, 20)


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
    factor = float(one["learning_rate"] / other["learning_rate"])
    return not 0.5 <= factor <= 2 or sum(one[name] != other[name] for name in chosen) > 1


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
    missed = [one for trace in sources for one in trace.missed]
    print(
        f"\nSource, {SOURCE_TRIALS} trials of TPE: early stop saves {np.mean(share):.0%} of the "
        f"epochs; of {len(missed)} trials stopped, {sum(missed)} would have become the best.\n"
    )
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
    parser.add_argument("--shifts", type=float, nargs="*", default=SHIFTS)
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
    if traces:
        report(traces)
    report_source(list(sources.values()))


if __name__ == "__main__":
    main()
