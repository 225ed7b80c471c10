"""Whether the source study's optimum held on the new base model, and at which learning rate."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.config.resolved import RESOLVED
from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import InputError
from optimizer.report.estimate import Estimate
from optimizer.report.findings import Findings, TrialRow
from optimizer.space.fit import fit
from optimizer.study.best_params import read_transfer
from optimizer.study.open import space_of
from optimizer.study.seeds import seed_id
from optimizer.study.transfer_rules import Row

HELD_FACTOR = 1.5
"""Learning rates within this factor of each other count as the same optimum."""
_RATE = "learning_rate"
_ROUNDED = 1e-4
"""Seeds are written with six digits."""


@dataclass(frozen=True)
class Rung:
    """One enqueued trial of the learning-rate ladder; `trial` is None before it has ended."""

    factor: float | None
    learning_rate: float | None
    trial: TrialRow | None


@dataclass(frozen=True)
class TransferStory:
    """What came over from the source study, and what became of it."""

    source_family: str
    source_study: str
    source_rate: float | None
    source_objective: Estimate | None
    best_rate: float | None
    rungs: tuple[Rung, ...]
    rows: tuple[Row, ...]
    verdict: str
    source: StudyConfig | None
    """The source study, where its folder can still be found."""
    source_trial: int | None
    """The trial whose settings came over; the source study may have found a better one since."""

    @property
    def ratio(self) -> float | None:
        """The winning learning rate over the source's."""
        if self.best_rate is None or not self.source_rate:
            return None
        return self.best_rate / self.source_rate


def transfer_story(config: StudyConfig, findings: Findings) -> TransferStory | None:
    """The story of `transfer.json` in the study's folder; None when nothing was carried over.

    Raises:
        TransferError: the file is damaged.
    """
    path = config.folder / "transfer.json"
    if not path.exists() or _leads_away(path, config):
        return None
    transfer = read_transfer(path, config.model.family)
    facts = transfer.provenance
    rates = {row.name: row.source for row in transfer.rows}
    rungs = tuple(_rung(seed, rates.get(_RATE), config, findings) for seed in transfer.seeds)
    best_rate = _rate_of(findings.best, config) if findings.best else None
    return TransferStory(
        source_family=transfer.source_family,
        source_study=str(facts.get("study", "another study")),
        source_rate=rates.get(_RATE),
        source_objective=_objective(facts),
        best_rate=best_rate,
        rungs=rungs,
        rows=transfer.rows,
        verdict=_verdict(rates.get(_RATE), best_rate, rungs, findings),
        source=_source_study(facts, config),
        source_trial=facts.get("trial"),
    )


def _leads_away(path: Path, config: StudyConfig) -> bool:
    """Whether this is where the study's own best goes, not where the study comes from."""
    try:
        source = json.loads(path.read_bytes())["provenance"].get("study")
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # read_transfer says what is wrong
    return bool(source == config.name)


def _rung(
    seed: dict[str, Any], source_rate: float | None, config: StudyConfig, findings: Findings
) -> Rung:
    identity = seed_id(fit(seed, space_of(config)).params)
    trials = [t for t in findings.trials if t.seed_id == identity]
    # A seed that was interrupted runs again as a copy: the last one tells.
    trial = next((t for t in reversed(trials) if t.objective), trials[-1] if trials else None)
    rate = seed.get(_RATE)
    return Rung(rate / source_rate if rate and source_rate else None, rate, trial)


def _rate_of(trial: TrialRow, config: StudyConfig) -> float | None:
    rate = trial.params.get(_RATE, config.training.learning_rate)
    return float(rate) if rate else None


def _objective(facts: dict[str, Any]) -> Estimate | None:
    if "objective" not in facts:
        return None
    return Estimate(float(facts["objective"]), float(facts.get("objective_se") or 0.0))


def _verdict(
    source_rate: float | None,
    best_rate: float | None,
    rungs: tuple[Rung, ...],
    findings: Findings,
) -> str:
    if best_rate is None or not source_rate:
        return "No trial has finished yet, so nothing can be said of the learning rate."
    ratio = best_rate / source_rate
    if max(ratio, 1 / ratio) <= HELD_FACTOR:
        text = f"The source's learning rate held: the best one is {ratio:.2f} times it."
    else:
        way = "above" if ratio > 1 else "below"
        text = f"The optimum moved: the best learning rate is {ratio:.2f} times the source's"
        text += f", {max(ratio, 1 / ratio):.1f} times {way} it."
    return text + _against_unchanged(rungs, findings)


def _against_unchanged(rungs: tuple[Rung, ...], findings: Findings) -> str:
    """What it would have cost to take the learning rate over as it was."""
    unchanged = (r for r in rungs if r.factor and math.isclose(r.factor, 1.0, rel_tol=_ROUNDED))
    same = next((rung.trial for rung in unchanged), None)
    best = findings.best
    if same is None or best is None or same.objective is None or best.objective is None:
        return ""
    if same.number == best.number:
        return " The unchanged settings are the best found so far."
    cost = best.objective.value - same.objective.value
    noise = math.hypot(best.objective.standard_error, same.objective.standard_error)
    judged = "more than the noise" if cost > 2 * noise else "within the noise"
    return (
        f" Taken over unchanged it scored {cost:.3f} less (trial {same.number}), "
        f"{judged} of {noise:.3f}."
    )


def _source_study(facts: dict[str, Any], config: StudyConfig) -> StudyConfig | None:
    """Where its best checkpoint lies, or a sibling of this study's folder of its name."""
    places = [config.folder.parent / str(facts.get("study", ""))]
    if checkpoint := facts.get("checkpoint"):
        places.insert(0, Path(str(checkpoint)).parent.parent.parent)
    for place in places:
        if place.resolve() != config.folder.resolve() and (place / RESOLVED).is_file():
            try:
                return load_study(place / RESOLVED)
            except InputError:  # moved since: its files are no longer where it names them
                continue
    return None
