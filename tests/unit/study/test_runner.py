"""The runner's contract, on SQLite and on PostgreSQL alike."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError, StudyStoppedError
from optimizer.space.fit import Fitted
from optimizer.study.loop import StudyResult
from optimizer.study.open import open_study, space_of
from optimizer.study.runner import run_study
from optimizer.study.turns import turn
from optimizer.trial.outcome import Outcome, State
from optimizer.trial.record import TrialFolder

Make = Callable[..., StudyConfig]


class Quiet:
    """An audience that only remembers."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, Outcome, bool]] = []

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        pass

    def trial_began(self, number: int) -> None:
        pass

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        self.ended.append((number, outcome, is_best))


def run(
    config: StudyConfig,
    states: Sequence[State] = (),
    *,
    values: Sequence[float] = (),
    **options: Any,
) -> tuple[StudyResult, list[dict[str, Any]]]:
    """Run a study whose trials end as told, completing when nothing is told any more."""
    tried: list[dict[str, Any]] = []
    space = space_of(config)

    def objective(trial: optuna.Trial) -> Outcome:
        settings = space.suggest(trial)
        searched = settings.model_dump(include=set(config.space.parameters))
        tried.append(searched)
        count = len(tried) - 1
        state: State = states[count] if count < len(states) else "complete"
        if state != "complete":
            return Outcome(state, f"made_{state}", "as told")
        value = values[count] if count < len(values) else 0.5
        folder = f"trial_{trial.number:04d}/checkpoints/small.safetensors"
        facts = {
            "effective_params": searched,
            "checkpoint": folder,
            "epoch": 1,
            "objective_se": 0.1,
            "max_train_steps": 40,
        }
        return Outcome("complete", "complete", value=value, attributes=facts)

    return run_study(config, lambda: objective, Quiet(), **options), tried


def states_of(config: StudyConfig) -> list[TrialState]:
    return [trial.state for trial in open_study(config).trials]


def test_runs_as_many_trials_as_asked_and_then_no_more(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    assert len(run(config)[1]) == 3
    assert len(run(config)[1]) == 0
    assert len(run(config, n_trials=5)[1]) == 2


def test_a_restarted_sampler_does_not_repeat_itself(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    _, first = run(config)
    _, second = run(config, n_trials=6)
    assert not {t["learning_rate"] for t in first} & {t["learning_rate"] for t in second}


def test_seeds_come_first_and_only_once(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    seeds = [{"learning_rate": rate, "network_dim": 8} for rate in (1e-3, 1e-4)]
    _, tried = run(config, seeds=seeds, n_trials=1)
    _, more = run(config, seeds=seeds, n_trials=4)
    rates = [t["learning_rate"] for t in [*tried, *more]]
    assert rates[:2] == [1e-3, 1e-4]
    assert len(set(rates)) == len(rates) == 4


def test_a_failed_trial_runs_again_with_its_parameters(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    _, tried = run(config, ["failed"])
    assert tried[0] == tried[1]
    assert states_of(config)[0] is TrialState.FAIL
    assert len(tried) == 4  # the failure did not count


def test_a_trial_is_given_up_after_two_retries(make_study: Make) -> None:
    config = make_study()
    with pytest.raises(StudyStoppedError):
        run(config, ["failed", "failed", "failed"])
    failed = {trial.params["learning_rate"] for trial in open_study(config).trials}
    assert len(failed) == 1
    _, tried = run(config)
    assert tried[0]["learning_rate"] not in failed


def test_three_failures_in_a_row_stop_the_study(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    with pytest.raises(StudyStoppedError, match=r"3 trials in a row failed, .* as told"):
        run(config, ["failed", "failed", "failed"])
    assert states_of(config).count(TrialState.FAIL) == 3


def test_an_interrupted_trial_ends_the_run_and_comes_first_next_time(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    result, first = run(config, ["complete", "interrupted"])
    assert result.interrupted
    _, second = run(config)
    assert second[0] == first[1]
    assert states_of(config).count(TrialState.COMPLETE) == 3


def test_infeasible_trials_count_as_the_worst_and_never_win(make_study: Make) -> None:
    config = make_study()
    result, _ = run(config, ["infeasible"], values=[0, 0.1, 0.0])
    trial = result.study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.0)
    assert trial.user_attrs["feasible"] is False
    assert trial.user_attrs["reason"] == "as told"
    assert result.best is not None
    assert result.best.number == 1


def test_refused_trials_do_not_count(make_study: Make) -> None:
    config = make_study()
    _, tried = run(config, ["refused", "refused"])
    assert len(tried) == 5
    assert states_of(config).count(TrialState.PRUNED) == 2


def test_best_params_are_written_when_the_best_changes(make_study: Make) -> None:
    config = make_study()
    run(config, values=[0.4, 0.6, 0.5])
    best = json.loads((config.folder / "best_params.json").read_text())
    assert (best["_study"]["trial"], best["_study"]["objective"]) == (1, 0.6)
    assert best["_study"]["max_train_steps"] == 40
    assert set(best) == {"learning_rate", "network_dim", "network_alpha", "_study"}


def test_a_changed_space_is_refused_with_the_difference(
    make_study: Make, database: str | None
) -> None:
    run(make_study(storage=database))
    space = '[parameters.network_dim]\ntype = "categorical"\nchoices = [4, 8]\n'
    with pytest.raises(StudyError, match="made with another space") as refused:
        run(make_study(storage=database, space=space))
    assert "-    16" in str(refused.value)


def test_another_metric_is_refused(make_study: Make) -> None:
    config = make_study()
    run(config)
    scoring = config.scoring.model_copy(update={"preset": "style"})
    with pytest.raises(StudyError, match="made with another scoring"):
        run(config.model_copy(update={"scoring": scoring}))


DYING = """
import os, signal, sys
from pathlib import Path
from optimizer.config.study import load_study
from optimizer.study.lease import Lease
from optimizer.study.open import open_study, space_of
config = load_study(Path(sys.argv[1]))
trial = open_study(config).ask()
trial.set_user_attr("lease", Lease.mine().as_dict())
space_of(config).suggest(trial)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_workers_trial_is_found_and_run_again_at_once(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    ended = subprocess.run([sys.executable, "-c", DYING, config.path], check=False)
    assert ended.returncode == -signal.SIGKILL
    lost = open_study(config).trials[0]
    assert lost.state is TrialState.RUNNING
    _, tried = run(config)
    assert tried[0]["learning_rate"] == lost.params["learning_rate"]
    study = open_study(config)
    assert study.trials[0].state is TrialState.FAIL
    assert study.trials[0].user_attrs["outcome"] == "killed"
    assert states_of(config).count(TrialState.COMPLETE) == 3


def test_workers_that_start_together_never_get_the_same_seed(make_study: Make) -> None:
    """Through the lock around ask: without it SQLite hands one waiting trial to two workers."""
    from optimizer.study.seeds import enqueue_seeds

    config = make_study()
    seeds = [{"learning_rate": 1e-4 * (k + 1), "network_dim": 8} for k in range(12)]
    enqueue_seeds(open_study(config), seeds, space_of(config))
    barrier, rates = threading.Barrier(4), []

    def work() -> None:
        study = open_study(config)
        barrier.wait()
        for _ in range(3):
            with turn(config):
                trial = study.ask()
            rates.append(space_of(config).suggest(trial).learning_rate)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rates) == len(set(rates)) == 12


class Stopped(Quiet):
    """Somebody presses Ctrl-C when a trial was asked for and not yet begun."""

    def trial_began(self, number: int) -> None:
        raise KeyboardInterrupt("SIGTERM")


def test_stopped_before_a_trial_begins_it_runs_again_at_no_cost(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    with pytest.raises(KeyboardInterrupt):
        run_study(config, lambda: never, Stopped(), n_trials=1)
    stopped, again = open_study(config).trials
    assert (stopped.user_attrs["outcome"], stopped.state) == ("interrupted", TrialState.FAIL)
    assert stopped.user_attrs["reason"] == "stopped by SIGTERM"
    assert again.user_attrs["retry_of"] == {"trials": [0], "retries": 0}


def test_stopped_before_a_result_could_be_told_it_is_kept(make_study: Make) -> None:
    config = make_study()

    def objective(trial: optuna.Trial) -> Outcome:
        space_of(config).suggest(trial)
        result = {"outcome": "complete", "reason": "", "value": 0.7, "objective_se": 0.1}
        TrialFolder(config.folder, trial.number).write("result.json", result)
        raise KeyboardInterrupt("SIGINT")

    with pytest.raises(KeyboardInterrupt):
        run_study(config, lambda: objective, Quiet(), n_trials=1)
    (trial,) = open_study(config).trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.7)


def never(trial: optuna.Trial) -> Outcome:
    """No trial should come to this."""
    raise AssertionError(trial.number)
