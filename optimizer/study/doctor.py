"""What is wrong with a study, and putting right what can safely be."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError, StudyStoppedError
from optimizer.storage.database import storage_url
from optimizer.storage.disk import refuse_full_disk
from optimizer.storage.places import slow_place
from optimizer.study.announce import write_best
from optimizer.study.best_params import read_best_params
from optimizer.study.lease import lease_of
from optimizer.study.open import refuse_changes
from optimizer.study.recovery import orphans, recover_orphans
from optimizer.study.results import best_trial, counted_trials, feasible_trials
from optimizer.study.stopping import forget_stop, held_by_others, stop_file
from optimizer.study.telling import recover_results, untold
from optimizer.study.turns import is_run_here, turn
from optimizer.trial import attrs

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fix` puts it right; None where only a person can."""

    check: str
    level: Level
    sentence: str
    fix: Callable[[], None] | None = None


def examine(config: StudyConfig, study: optuna.Study) -> Iterator[Finding]:
    """Look at a study from all sides; reads only."""
    yield _settings(config, study)
    yield from _running(config, study)
    yield from _results(config, study)
    yield _duplicates(study)
    yield from _folders(config, study)
    yield _best(config, study)
    yield from _stop(config, study)
    yield from _disk(config)


def _settings(config: StudyConfig, study: optuna.Study) -> Finding:
    try:
        refuse_changes(study, config)
    except StudyError as error:
        return Finding("settings", "problem", str(error))
    return Finding("settings", "ok", "space, scoring and family are those it was made with")


def _running(config: StudyConfig, study: optuna.Study) -> Iterator[Finding]:
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    dead = {trial.number for trial in orphans(study)}
    for trial in running:
        lease = lease_of(trial)
        if trial.number not in dead and lease is not None:
            said = f"trial {trial.number} is run by process {lease.pid} on {lease.host}"
            yield Finding("running", "ok", said)

    def fix() -> None:
        recover_orphans(study, config.folder)

    for number in sorted(dead):
        yield Finding(
            "orphans",
            "problem",
            f"the worker of trial {number} is dead; `optimizer run` begins it again",
            fix,
        )
    if not running:
        yield Finding("running", "ok", "no trial is being run")


def _results(config: StudyConfig, study: optuna.Study) -> Iterator[Finding]:
    def fix() -> None:
        recover_results(study, config.folder)

    for number in untold(study, config.folder):
        said = f"trial {number} has a result in its folder that the database was never told"
        yield Finding("results", "problem", said, fix)


def _duplicates(study: optuna.Study) -> Finding:
    seeds = Counter(
        trial.user_attrs[attrs.SEED_ID]
        for trial in study.get_trials(deepcopy=False)
        if attrs.SEED_ID in trial.user_attrs
        and attrs.RETRY_OF not in trial.user_attrs
        and attrs.RESULT_OF not in trial.user_attrs
    )
    twice = [seed for seed, count in seeds.items() if count > 1]
    if twice:
        return Finding("duplicates", "problem", f"enqueued more than once: {'; '.join(twice)}")
    same = Counter(str(sorted(trial.params.items())) for trial in counted_trials(study))
    repeated = sum(count - 1 for count in same.values())
    if repeated:
        said = f"{repeated} trials repeat the settings of others: the space may be small"
        return Finding("duplicates", "note", said)
    return Finding("duplicates", "ok", "no seed and no settings were tried twice")


def _folders(config: StudyConfig, study: optuna.Study) -> Iterator[Finding]:
    known = {trial.number for trial in study.get_trials(deepcopy=False)}
    there = {int(path.name.removeprefix("trial_")): path for path in _trial_folders(config.folder)}
    if strange := sorted(set(there) - known):
        said = f"folders of trials that are not in the database: {_listed(strange)}"
        yield Finding("folders", "problem", f"{said}; they belong to another study or a lost one")
    gone = [
        trial.number
        for trial in feasible_trials(study)
        if not (config.folder / trial.user_attrs[attrs.CHECKPOINT]).is_file()
    ]
    if gone:
        said = f"the LoRA files of trials {_listed(sorted(gone))} are gone"
        yield Finding("folders", "problem", f"{said}; train them again with their params.json")
    if not strange and not gone:
        yield Finding("folders", "ok", "every scored trial has its LoRA file")


def _trial_folders(folder: Path) -> Iterator[Path]:
    return (p for p in folder.glob("trial_*") if p.name.removeprefix("trial_").isdigit())


def _best(config: StudyConfig, study: optuna.Study) -> Finding:
    path, best = config.folder / "best_params.json", best_trial(study, config.folder)
    if best is None:
        return Finding("best", "note", "no trial has finished with usable pictures yet")

    def fix() -> None:
        write_best(config, study, best)

    if not path.is_file():
        return Finding("best", "problem", f"{path} is missing", fix)
    provenance = read_best_params(path)[1]
    if (provenance.get("trial"), provenance.get("epoch")) != (best.number, best.epoch):
        said = f"{path} is of trial {provenance.get('trial')}, but trial {best.number} is best"
        return Finding("best", "problem", said, fix)
    return Finding("best", "ok", f"{path.name} is of the best trial, {best.number}")


def _stop(config: StudyConfig, study: optuna.Study) -> Iterator[Finding]:
    path = stop_file(config.folder)
    if not path.exists():
        return
    if is_run_here(config) or held_by_others(study):
        yield Finding("stop", "note", "it was asked to stop and will after its current trial")
        return
    said = f"{path} is left over; workers that are started alone will stop at once"
    yield Finding("stop", "problem", said, lambda: forget_stop(config))


def _disk(config: StudyConfig) -> Iterator[Finding]:
    try:
        refuse_full_disk(config.folder)
        yield Finding("disk", "ok", "there is room for the next trial")
    except StudyStoppedError as error:
        yield Finding("disk", "problem", str(error))
    url = storage_url(config.folder, config.study.storage)
    if url.get_backend_name() == "sqlite" and url.database:
        problem = slow_place(Path(url.database).parent)
        yield Finding("place", "problem" if problem else "ok", problem or "a local disk")


def put_right(config: StudyConfig, findings: list[Finding]) -> list[str]:
    """Do what can be done without a person, one worker at a time; returns what was put right."""
    done = []
    with turn(config):
        for finding in findings:
            if finding.fix is not None:
                finding.fix()
                done.append(finding.sentence)
    return done


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"
