"""`optimizer run` as people see it: what it begins with, its progress, a table at the end."""

from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from optimizer.config.study import StudyConfig
from optimizer.files import write_json
from optimizer.logs import log_to
from optimizer.report.audiences import Audiences
from optimizer.report.base_pictures import keep_base_pictures
from optimizer.report.dashboard_notes import DashboardNotes
from optimizer.report.notify import Notifier
from optimizer.report.progress import ProgressView
from optimizer.report.tables import console, print_best, print_transfer, short
from optimizer.study.best_params import read_transfer
from optimizer.study.open import space_of
from optimizer.study.results import feasible_trials
from optimizer.study.runner import Objective, StudyResult, run_study
from optimizer.trial import attrs
from optimizer.trial.workbench import check_inputs, open_workbench

SHOWN_TRIALS = 10


def run_with_view(
    config: StudyConfig,
    init_params: Path | None,
    n_trials: int | None,
    deadline: datetime | None = None,
) -> StudyResult:
    """Run a study with bars and tables; see `run_study` for what is raised."""
    space = space_of(config)
    seeds: tuple[dict[str, Any], ...] = ()
    if init_params is not None:
        transfer = read_transfer(init_params, config.model.family)
        print_transfer(transfer)
        seeds = transfer.seeds
    check_inputs(config)
    notifier = Notifier(config, config.study.notify)
    with ProgressView() as view, log_to(config.folder / "optimization.log"):
        if init_params is not None:
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
    print_result(config, result)
    return result


def print_result(config: StudyConfig, result: StudyResult) -> None:
    """The best trials, the best settings, and what to type next."""
    console.print(f"stopped: {result.stop_reason}", highlight=False, soft_wrap=True)
    trials = feasible_trials(result.study)[:SHOWN_TRIALS]
    if not trials or result.best is None:
        console.print("no trial has finished yet")
        return
    names = list(config.space.parameters)
    table = Table("trial", "objective", "epoch", *names, title="best trials", title_justify="left")
    for trial in trials:
        facts = trial.user_attrs
        error = facts[attrs.STANDARD_ERROR]
        values = (short(facts[attrs.EFFECTIVE].get(name)) for name in names)
        score = f"{trial.value:.3f} ± {error:.3f}"
        table.add_row(str(trial.number), score, str(facts[attrs.EPOCH]), *values)
    console.print(table)
    print_best(config, result.best)
    console.print(f"settings: {config.folder / 'best_params.json'}", soft_wrap=True)
