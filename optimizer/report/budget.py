"""What a study may still spend before [study.stop] ends it."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psutil
from optuna.trial import FrozenTrial

from optimizer.config.study import StopConfig
from optimizer.study.convergence import progress
from optimizer.study.lease import Lease
from optimizer.study.results import counts
from optimizer.trial import attrs


@dataclass(frozen=True)
class Budget:
    """Spent and allowed; what is allowed is None where nothing limits it."""

    gpu_hours_spent: float
    """Of all trials, those that run included."""
    gpu_hours: float | None
    since_improvement: int | None
    """Trials without one beyond the noise; None unless patience is limited."""
    patience: int | None
    deadline: str | None
    """Of the run that is under way on this machine: local time, ISO 8601."""


def budget(
    rules: StopConfig, trials: Sequence[FrozenTrial], leases: Sequence[Lease], running: float
) -> Budget:
    """What the rules still allow.

    Args:
        leases: of living workers.
        running: seconds that their trials have taken so far.
    """
    seconds = sum(float(trial.user_attrs.get(attrs.SECONDS, 0.0)) for trial in trials)
    rows = progress([trial for trial in trials if counts(trial)]) if rules.patience else []
    deadlines = [found for lease in leases if (found := _deadline(lease))]
    return Budget(
        gpu_hours_spent=(seconds + running) / 3600,
        gpu_hours=rules.gpu_hours,
        since_improvement=(rows[-1].since_improvement if rows else 0) if rules.patience else None,
        patience=rules.patience or None,
        deadline=min(deadlines).isoformat(sep=" ", timespec="minutes") if deadlines else None,
    )


def _deadline(lease: Lease) -> datetime | None:
    """A worker's own: `optimizer run` gives it to each on its command line, as seconds."""
    if lease.host != platform.node():
        return None
    try:
        words = psutil.Process(lease.pid).cmdline()
        return datetime.fromtimestamp(float(words[words.index("--deadline") + 1]))
    except (psutil.Error, ValueError, IndexError):
        return None
