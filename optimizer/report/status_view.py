"""`optimizer status` for people: once, or redrawn in place."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from optimizer.config.study import StudyConfig
from optimizer.report.spoken import duration, size
from optimizer.report.status import RunningTrial, StudyStatus, study_status
from optimizer.report.tables import console, key_values
from optimizer.study.look import Onlooker

REFRESH_SECONDS = 2.0
_SLOW = 2.0
"""Times its own baseline from which a step is called slow."""


def watch(configs: Sequence[StudyConfig]) -> None:
    """Redraw until Ctrl-C; raises StudyError when a study is not there."""
    onlookers = [Onlooker(config) for config in configs]

    def drawn() -> Group:
        looks = ((onlooker.config, onlooker.look()) for onlooker in onlookers)
        return Group(*(status_table(study_status(*look)) for look in looks))

    with Live(drawn(), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(REFRESH_SECONDS)
                live.update(drawn(), refresh=True)
        except KeyboardInterrupt:
            return


def status_table(status: StudyStatus) -> Table:
    """A study as name and value."""
    facts: dict[str, Any] = {"state": _state(status), "trials": _trials(status)}
    for trial in status.running:
        facts[f"trial {trial.number}"] = _running(trial)
    if status.best:
        best = status.best
        facts["best"] = (
            f"{best['value']:.3f} ± {best['standard_error']:.3f} "
            f"(trial {best['number']}, epoch {best['epoch']})"
        )
        facts["lead over the second"] = _lead(status)
        facts["best LoRA"] = best["checkpoint"]
    for kind, failure in status.failures.items():
        facts[kind] = f"{failure.count}, last trial {failure.trial}: {failure.reason}"
    if status.mean_trial_seconds is not None:
        facts["time per trial"] = duration(status.mean_trial_seconds)
    if status.seconds_left:
        facts["time left"] = f"about {duration(status.seconds_left)}"
    if saved := spoken_saving(*status.epochs):
        facts["early stops"] = saved
    facts["disk"] = _disk(status)
    facts["folder"] = status.folder
    return key_values(f"study {status.name} ({status.family})", facts)


def _state(status: StudyStatus) -> str:
    since = f" since {status.since}" if status.since else ""
    reason = f": {status.stop_reason}" if status.stop_reason else ""
    return f"{status.state}{since}{reason}"


def _trials(status: StudyStatus) -> str:
    waiting = f", {status.waiting} enqueued" if status.waiting else ""
    return f"{status.trials_done} of {status.trials_wanted} done{waiting}"


def _running(trial: RunningTrial) -> Text:
    pace = trial.pace
    if pace is None:
        return Text(f"for {duration(trial.seconds)}, no step yet")
    text = Text(f"epoch {pace.epoch}, step {pace.global_step} of {pace.max_train_steps}, ")
    text.append(f"loss {pace.loss:.4f}, {pace.seconds_per_step:.2f} s/step")
    slower = pace.seconds_per_step / pace.baseline if pace.baseline else 1.0
    if slower >= _SLOW:
        text.append(f" ({slower:.1f} times its own start)", style="red")
    is_training = pace.seconds_left > 0
    return text.append(
        f", {duration(pace.seconds_left)} of training left" if is_training else ", scoring"
    )


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


def _disk(status: StudyStatus) -> str:
    text = size(status.disk_bytes)
    if status.disk_bytes_expected and status.trials_done < status.trials_wanted:
        text += f", about {size(status.disk_bytes_expected)} when all trials are done"
    return text
