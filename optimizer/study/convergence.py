"""Whether a search still finds better trials than its noise, and the files that say so."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial

from optimizer.files import write_bytes
from optimizer.study.results import BestTrial
from optimizer.trial import attrs
from optimizer.trial.worth import worth

ALERT = "CONVERGENCE_ALERT.txt"
MONITOR = "convergence_monitor.log"


@dataclass(frozen=True)
class Progress:
    """Where a search stood when a trial had ended.

    value: None for an infeasible trial. best: the highest value so far.
    since_improvement: trials that the sampler drew since one was better than those before it by
    more than its own standard error. Many small steps upwards are measured from where they began,
    so together they are an improvement too. Seeds are tried whatever comes of them and use up no
    patience.
    """

    number: int
    value: float | None
    best: float | None
    best_number: int | None
    since_improvement: int


def progress(trials: Sequence[FrozenTrial]) -> list[Progress]:
    """The progress of a search after each of its counted trials, in the order they ended."""
    rows: list[Progress] = []
    best: tuple[float | None, int | None] = (None, None)
    level: float | None = None  # what an improvement is measured from
    since = 0
    for trial in sorted(trials, key=lambda t: (t.datetime_complete, t.number)):
        value = worth(trial) if trial.user_attrs[attrs.FEASIBLE] else None
        if value is not None and (best[0] is None or value > best[0]):
            best = (value, trial.number)
        noise = trial.user_attrs.get(attrs.STANDARD_ERROR, 0.0)
        if value is not None and (level is None or value - level > noise):
            level, since = value, 0
        elif attrs.SEED_ID not in trial.user_attrs:
            since += 1
        rows.append(Progress(trial.number, value, *best, since))
    return rows


def write_monitor(folder: Path, rows: Sequence[Progress]) -> None:
    """convergence_monitor.log: a line a trial. Written anew, so that no trial can be missing."""
    write_bytes(folder / MONITOR, "".join(f"{_line(row)}\n" for row in rows).encode())


def _line(row: Progress) -> str:
    value = "infeasible" if row.value is None else f"{row.value:.4f}"
    best = "none" if row.best is None else f"{row.best:.4f} (trial {row.best_number})"
    return (
        f"trial {row.number:>4}  value {value:<10}  best so far {best:<18}  "
        f"trials since improvement {row.since_improvement}"
    )


def write_alert(folder: Path, best: BestTrial | None, why: str) -> None:
    """CONVERGENCE_ALERT.txt; scripts look for its line "Best trial: Trial N"."""
    lines = ["Best trial: none"]
    if best is not None:
        lines = [
            f"Best trial: Trial {best.number}",
            f"Objective: {best.value:.4f} +- {best.standard_error:.4f}",
            f"LoRA file: {best.checkpoint}",
        ]
    write_bytes(folder / ALERT, "\n".join([*lines, f"Why: {why}", ""]).encode())


def remove_alert(folder: Path) -> None:
    """A search that goes on has not converged."""
    (folder / ALERT).unlink(missing_ok=True)
