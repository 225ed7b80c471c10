"""`optimizer run` as people see it: what it begins with, its workers, the best at the end."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import optuna
from rich.table import Table
from rich.text import Text

from optimizer.cards import Place, cards, chosen
from optimizer.config.duration import parse_duration
from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.processes import BAD_INPUT, DONE
from optimizer.report.beginning import Beginning
from optimizer.report.status_view import spoken_saving
from optimizer.report.tables import console, print_best, print_transfer, short
from optimizer.study.open import load_existing, space_of
from optimizer.study.results import best_trial, epochs_saved, feasible_trials, has_finished_trials
from optimizer.study.stopping import forget_stop
from optimizer.study.supervisor import Job, Supervisor
from optimizer.study.turns import sole_runner
from optimizer.trial import attrs
from optimizer.trial.worth import has_several, worth

logger = logging.getLogger(__name__)

SHOWN_TRIALS = 10


@dataclass(frozen=True)
class Wanted:
    """What a person asks of a run instead of what the study file says; None is the file's own."""

    beginning: Beginning = field(default_factory=Beginning)
    n_trials: int | None = None
    deadline: datetime | None = None
    patience: int | None = None
    gpus: str | None = None


def run_supervised(config: StudyConfig, wanted: Wanted) -> int:
    """Run a study in worker processes, then its finals; returns the exit code.

    Raises:
        InputError: what can be known to be wrong before a worker begins.
    """
    space_of(config)
    places = chosen(wanted.gpus, cards()) if wanted.gpus is not None else [None]
    if transfer := wanted.beginning.transfer(config):
        print_transfer(transfer)
    with sole_runner(config):
        forget_stop(config)
        code = _supervise(config, _options(config, wanted), places)
    if code == BAD_INPUT:
        return code
    if study := _existing(config):
        _print_result(config, study)
    if code == DONE and config.scoring.finals.top:
        return _supervise(config, ["finals", str(config.path)], places[:1])
    return code


def _options(config: StudyConfig, wanted: Wanted) -> list[str]:
    """The command line of a worker. A deadline is a moment: workers may be started late."""
    deadline, timeout = wanted.deadline, config.study.stop.timeout
    if deadline is None and timeout is not None:
        deadline = datetime.now().astimezone() + parse_duration(timeout)
    given = {
        "--n-trials": wanted.n_trials,
        "--patience": wanted.patience,
        "--deadline": deadline and deadline.timestamp(),
    }
    options = [str(part) for item in given.items() if item[1] is not None for part in item]
    return ["worker", str(config.path), *wanted.beginning.options(), *options]


def _supervise(config: StudyConfig, arguments: list[str], places: Sequence[Place | None]) -> int:
    def has_progressed(pid: int) -> bool:
        study = _existing(config)
        return study is not None and has_finished_trials(study, pid)

    command = [sys.executable, "-m", "optimizer.cli.main", *arguments]
    return Supervisor(Job(command, places, has_progressed), _say, _tell).run()


def _say(sentence: str) -> None:
    console.print(sentence, highlight=False, soft_wrap=True)


def _tell(worker: str, line: str) -> None:
    console.print(Text(f"{worker}: {line}"), soft_wrap=True)


def _existing(config: StudyConfig) -> optuna.Study | None:
    try:
        return load_existing(config)
    except StudyError:
        return None


def _print_result(config: StudyConfig, study: optuna.Study) -> None:
    """The best trials, and the best settings."""
    trials, best = feasible_trials(study)[:SHOWN_TRIALS], best_trial(study, config.folder)
    if best is None:
        console.print("no trial has finished yet")
        return
    names = list(config.space.parameters)
    table = Table("trial", "objective", "epoch", *names, title="best trials", title_justify="left")
    for trial in trials:
        facts = trial.user_attrs
        error = facts[attrs.STANDARD_ERROR]
        values = (short(facts[attrs.EFFECTIVE].get(name)) for name in names)
        score = f"{worth(trial):.3f} ± {error:.3f}"
        table.add_row(str(trial.number), score, str(facts[attrs.EPOCH]), *values)
    console.print(table)
    if has_several(study):
        _print_front(study)
    print_best(config, best)
    if saved := spoken_saving(*epochs_saved(study.get_trials(deepcopy=False))):
        console.print(f"early stops {saved}", highlight=False)
    console.print(f"settings: {config.folder / 'best_params.json'}", soft_wrap=True)


def _print_front(study: optuna.Study) -> None:
    """What no other trial beats in all objectives at once."""
    names = study.metric_names or []
    table = Table("trial", *names, title="Pareto front", title_justify="left")
    for trial in study.best_trials:
        table.add_row(str(trial.number), *(f"{value:.3f}" for value in trial.values))
    console.print(table)
    console.print("with several objectives no trial is ended early", highlight=False)
