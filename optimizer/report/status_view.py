"""`optimizer status` for people: once, or redrawn in place."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from optimizer.config.study import StudyConfig
from optimizer.errors import StorageError
from optimizer.report.budget import Budget
from optimizer.report.held_cards import HeldCard
from optimizer.report.spoken import duration, size
from optimizer.report.status import RunningTrial, StudyStatus, study_status
from optimizer.report.tables import console, key_values
from optimizer.storage.outage import OUTAGES, first_reason
from optimizer.study.look import Onlooker

REFRESH_SECONDS = 2.0
_SLOW = 2.0
"""Times its own baseline from which a step is called slow."""


def watch(configs: Sequence[StudyConfig]) -> None:
    """Redraw until Ctrl-C; what goes wrong at the first look is raised as by `study_status`."""
    views = [WatchedStudy(Onlooker(config)) for config in configs]
    with Live(Group(*(view.look() for view in views)), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(REFRESH_SECONDS)
                live.update(Group(*(view.look_again() for view in views)), refresh=True)
        except KeyboardInterrupt:
            return


class WatchedStudy:
    """A study that is watched; while its database is away, as it was last seen."""

    def __init__(self, onlooker: Onlooker) -> None:
        self.onlooker = onlooker
        self.seen = datetime.now()
        self.table: RenderableType = ""

    def look(self) -> RenderableType:
        """Its table now; raises as `study_status`."""
        status = study_status(self.onlooker.config, self.onlooker.look())
        self.seen, self.table = datetime.now(), status_table(status)
        return self.table

    def look_again(self) -> RenderableType:
        """Its table now, or what was seen last and why it cannot be read."""
        try:
            return self.look()
        except (StorageError, *OUTAGES) as error:
            reason = error if isinstance(error, StorageError) else first_reason(error)
            said = f"as it was at {self.seen:%H:%M:%S}, for now nothing can be read: {reason}"
            return Group(self.table, Text(said, style="red"))


def status_table(status: StudyStatus) -> Table:
    """A study as name and value."""
    facts: dict[str, Any] = {"state": _state(status), "trials": _trials(status)}
    for trial in status.running:
        facts[f"trial {trial.number}"] = _running(trial)
        if trial.card is not None:
            facts[f"card of trial {trial.number}"] = _card(trial.card)
    facts |= _best(status)
    for kind, failure in status.failures.items():
        facts[kind] = f"{failure.count}, last trial {failure.trial}: {failure.reason}"
    if status.mean_trial_seconds is not None:
        facts["time per trial"] = duration(status.mean_trial_seconds)
    if status.seconds_left:
        facts["time left"] = _time_left(status)
    if allowed := _budget(status.budget):
        facts["budget"] = allowed
    if saved := spoken_saving(*status.epochs):
        facts["early stops"] = saved
    facts["disk"] = _disk(status)
    facts["folder"] = status.folder
    return key_values(f"study {status.name} ({status.family})", facts)


def _state(status: StudyStatus) -> str:
    since = f" since {status.since}" if status.since else ""
    if status.state == "running":
        return status.state
    if status.state == "waiting":
        return f"waiting{since}: a worker loads its models or is between two trials"
    go_on = f"`optimizer run {status.path}`"
    if status.state == "not begun":
        return f"not begun; {go_on} begins it"
    if status.state == "stopped" and not status.stop_reason:
        return f"stopped{since}: no worker is alive; {go_on} goes on"
    return f"{status.state}{since}" + (f": {status.stop_reason}" if status.stop_reason else "")


def _trials(status: StudyStatus) -> str:
    enqueued = f", {status.enqueued} enqueued" if status.enqueued else ""
    return f"{status.trials_done} of {status.trials_wanted} done{enqueued}"


def _running(trial: RunningTrial) -> Text:
    pace = trial.pace
    left = f", about {duration(trial.seconds_left)} left" if trial.seconds_left else ""
    if pace is None:
        return Text(f"for {duration(trial.seconds)}, no step yet{left}")
    text = Text(f"epoch {pace.epoch}, step {pace.global_step} of {pace.max_train_steps}, ")
    text.append(f"loss {pace.loss:.4f}, {pace.seconds_per_step:.2f} s/step")
    slower = pace.seconds_per_step / pace.baseline if pace.baseline else 1.0
    if slower >= _SLOW:
        text.append(f" ({slower:.1f} times its own start)", style="red")
    return text.append(left if pace.seconds_left > 0 else f", scoring{left}")


def _card(card: HeldCard) -> str:
    memory = f"{card.memory_used / 2**30:.1f} of {card.memory_total / 2**30:.1f} GiB"
    return f"{card.name}: {memory} in use, {card.busy_percent}% busy"


def _best(status: StudyStatus) -> dict[str, Any]:
    best = status.best
    if best is None:
        return {"best": _why_none(status)}
    score = f"{best['value']:.3f} ± {best['standard_error']:.3f}"
    return {
        "best": f"{score} (trial {best['number']}, epoch {best['epoch']})",
        "lead over the second": _lead(status),
        "best LoRA": best["checkpoint"],
    }


def _why_none(status: StudyStatus) -> str:
    ended = sum(failure.count for failure in status.failures.values())
    if not ended:
        return "none yet: no trial has ended"
    if ended == 1:
        return "none yet: the only trial that ended has no score, see below"
    return f"none yet: all {ended} trials that ended have no score, see below"


def _time_left(status: StudyStatus) -> str:
    left = timedelta(seconds=status.seconds_left or 0.0)
    text = f"about {duration(left.total_seconds())}"
    if status.state != "running":
        return f"{text} of work"
    return f"{text}, until {datetime.now() + left:%a %H:%M}"


def _budget(budget: Budget) -> str:
    """What may end the study before its last trial; empty where nothing limits it."""
    parts = []
    if budget.gpu_hours is not None:
        left = max(budget.gpu_hours - budget.gpu_hours_spent, 0.0)
        parts.append(f"{left:.1f} of {budget.gpu_hours:g} GPU-hours left")
    if budget.deadline is not None:
        parts.append(f"no trial after {budget.deadline}")
    if budget.patience is not None:
        since = f"{budget.since_improvement} of {budget.patience} trials"
        parts.append(f"{since} without an improvement beyond the noise")
    return "; ".join(parts)


def _lead(status: StudyStatus) -> str | None:
    if status.lead is None:
        return None
    judged = "clear" if status.lead.low > 0 else "cannot be told apart"
    noise = f"noise at most {status.lead.standard_error:.3f}"
    return f"{status.lead.value:.3f}, {noise}: {judged}"


def spoken_saving(trained: int, planned: int) -> str | None:
    """What ending hopeless trials early has saved; None where it was nothing."""
    if trained == planned:
        return None
    share = (planned - trained) / planned
    return f"saved {planned - trained} of {planned} epochs ({share:.0%})"


def _disk(status: StudyStatus) -> Text:
    text, expected = Text(size(status.disk_bytes)), status.disk_bytes_expected
    if expected and status.trials_done < status.trials_wanted:
        text.append(f", about {size(expected)} when all trials are done")
    lacks = expected is not None and expected - status.disk_bytes > status.disk_bytes_free
    return text.append(f"; {size(status.disk_bytes_free)} free", style="red" if lacks else "")
