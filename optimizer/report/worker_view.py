"""A worker as people see it: what it begins with, its progress, and why it ends."""

from datetime import datetime
from typing import Any

from optimizer.config.study import StudyConfig
from optimizer.files import write_json
from optimizer.logs import log_to
from optimizer.models.device import device_held
from optimizer.report.audiences import Audiences
from optimizer.report.base_pictures import keep_base_pictures
from optimizer.report.beginning import Beginning
from optimizer.report.dashboard_notes import DashboardNotes
from optimizer.report.notify import Notifier
from optimizer.report.progress import ProgressView
from optimizer.report.tables import console
from optimizer.study.loop import Objective, StudyResult
from optimizer.study.open import space_of
from optimizer.study.runner import run_study
from optimizer.trial.workbench import check_inputs, open_workbench


def run_worker(
    config: StudyConfig,
    beginning: Beginning,
    n_trials: int | None,
    deadline: datetime | None = None,
) -> StudyResult:
    """Run a study with bars, or a line a trial; see `run_study` for what is raised."""
    space = space_of(config)
    seeds: tuple[dict[str, Any], ...] = ()
    if transfer := beginning.transfer(config):
        seeds = transfer.seeds
    check_inputs(config)
    notifier = Notifier(config, config.study.notify)
    what = f"study {config.name}"
    with device_held(what), ProgressView() as view, log_to(config.folder / "optimization.log"):
        if transfer is not None:
            write_json(config.folder / "transfer.json", transfer.as_dict())

        def make_objective() -> Objective:
            from optimizer.trial.objective import Objective as TrialObjective

            bench = open_workbench(config)
            keep_base_pictures(bench.scorer, config.folder)
            return TrialObjective(config, bench, space, audience)

        audience = Audiences((view, DashboardNotes(config), notifier))
        result = notifier.tell_the_end(
            lambda: run_study(
                config, make_objective, audience, n_trials=n_trials, seeds=seeds, deadline=deadline
            )
        )
    console.print(f"stopped: {result.stop_reason}", highlight=False, soft_wrap=True)
    return result
