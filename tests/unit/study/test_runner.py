"""The runner's contract, on SQLite and on PostgreSQL alike.

The objective is a plain function that returns outcomes, which is all that the runner asks of it;
databases, locks, samplers and files are real.
"""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.errors import ConfigError, StudyError, StudyStoppedError
from optimizer.storage.database import sole_runner
from optimizer.study import runner
from optimizer.study.open import open_study
from optimizer.study.runner import run_study
from optimizer.study.seeds import waiting_trials
from optimizer.trial.outcome import Outcome, State

Make = Callable[..., StudyConfig]
Run = Callable[..., Any]


def states_of(config: StudyConfig) -> list[TrialState]:
    return [trial.state for trial in open_study(config).trials]


def test_runs_as_many_trials_as_asked_and_then_no_more(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    assert len(run(config).tried) == 3
    assert len(run(config).tried) == 0
    assert len(run(config, n_trials=5).tried) == 2


def test_nothing_is_loaded_when_nothing_is_left_to_run(make_study: Make, run: Run) -> None:
    config = make_study(n_trials=1)
    seen = run(config)

    def load() -> Callable[[optuna.Trial], Outcome]:
        raise AssertionError("the base model was loaded")

    result = run_study(config, load, seen)
    assert (result.new_trials, result.interrupted) == (0, False)
    assert result.best is not None


def test_a_restarted_sampler_does_not_repeat_itself(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    tried = [*run(config).tried, *run(config, n_trials=6).tried]
    assert len({settings["learning_rate"] for settings in tried}) == 6


def test_seeds_come_first_and_only_once(make_study: Make, run: Run, database: str | None) -> None:
    config = make_study(storage=database)
    seeds = [{"learning_rate": rate, "network_dim": 8} for rate in (1e-3, 1e-4)]
    tried = [
        *run(config, seeds=seeds, n_trials=1).tried,
        *run(config, seeds=seeds, n_trials=4).tried,
    ]
    rates = [settings["learning_rate"] for settings in tried]
    assert rates[:2] == [1e-3, 1e-4]
    assert len(set(rates)) == len(rates) == 4


def test_what_became_of_the_seeds_is_shown(make_study: Make, run: Run) -> None:
    seen = run(make_study(n_trials=1), seeds=[{"learning_rate": 1.0}, {"network_dim": 8}])
    assert [fitted.params for fitted in seen.fitted] == [
        {"learning_rate": 0.01},
        {"network_dim": 8},
    ]
    assert list(seen.fitted[0].notes) == ["learning_rate"]
    assert seen.tried[0]["learning_rate"] == 0.01


def test_a_failed_trial_runs_again_with_its_parameters(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    tried = run(config, ["failed"]).tried
    assert tried[0] == tried[1]
    assert len(tried) == 4, "the failure did not count"
    failed, again, *_ = open_study(config).trials
    assert failed.state is TrialState.FAIL
    assert (failed.user_attrs["outcome"], failed.user_attrs["reason"]) == ("made_failed", "as told")
    assert again.user_attrs["retry_of"] == {"trial": 0, "retries": 1}


def test_failures_that_are_not_in_a_row_stop_nothing(make_study: Make, run: Run) -> None:
    states: list[State] = ["failed", "failed", "complete", "failed", "failed", "complete"]
    tried = run(make_study(n_trials=3), states).tried
    assert tried[0] == tried[1] == tried[2]
    assert tried[3] == tried[4] == tried[5] != tried[0]
    assert len(tried) == 7


def test_three_failures_in_a_row_stop_the_study_and_the_trial_is_given_up(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    with pytest.raises(
        StudyStoppedError, match=r"3 trials in a row failed, .* made_failed: as told"
    ):
        run(config, ["complete", "failed", "failed", "failed"])
    assert states_of(config) == [TrialState.COMPLETE, *[TrialState.FAIL] * 3]
    given_up = open_study(config).trials[-1].params["learning_rate"]
    assert run(config).tried[0]["learning_rate"] != given_up


def test_an_interrupted_trial_ends_the_run_and_comes_first_next_time(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    first = run(config, ["complete", "interrupted"])
    assert first.result.interrupted
    second = run(config)
    assert not second.result.interrupted
    assert second.tried[0] == first.tried[1]
    assert states_of(config).count(TrialState.COMPLETE) == 3


def test_being_interrupted_uses_up_no_retries(make_study: Make, run: Run) -> None:
    config = make_study(n_trials=1)
    tried = [run(config, ["interrupted"]).tried for _ in range(4)]
    assert all(again == tried[0] for again in [*tried, run(config).tried])
    assert open_study(config).trials[-1].user_attrs["retry_of"] == {"trial": 3, "retries": 0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_objective_and_are_handed_back_after(
    number: signal.Signals, make_study: Make, run: Run
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=number.name):
        run(make_study(), meanwhile=lambda trial: os.kill(os.getpid(), number))
    assert signal.getsignal(number) is before


def test_infeasible_trials_count_as_the_worst_and_never_win(make_study: Make, run: Run) -> None:
    seen = run(make_study(), ["infeasible"], values=[0, 0.1, 0.0])
    trial = seen.result.study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.0)
    assert trial.user_attrs["feasible"] is False
    assert (trial.user_attrs["outcome"], trial.user_attrs["reason"]) == (
        "made_infeasible",
        "as told",
    )
    assert seen.result.best.number == 1


def test_a_study_of_only_infeasible_trials_has_no_best(make_study: Make, run: Run) -> None:
    config = make_study(n_trials=2)
    assert run(config, ["infeasible", "infeasible"]).result.best is None
    assert not (config.folder / "best_params.json").exists()


def test_refused_trials_do_not_count_and_are_not_tried_again(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    tried = run(config, ["refused", "refused"]).tried
    assert len({settings["learning_rate"] for settings in tried}) == 5
    assert states_of(config).count(TrialState.PRUNED) == 2


def test_a_space_that_refuses_everything_stops_the_study(
    make_study: Make, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MOST_REFUSALS_IN_A_ROW", 4)
    with pytest.raises(StudyStoppedError, match="refused 4 drawn trials in a row, .*: as told"):
        run(make_study(), ["refused"] * 3 + ["complete"] + ["refused"] * 4)


def test_best_params_are_written_when_the_best_changes(
    make_study: Make, run: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    seen = run(config, values=[0.4, 0.6, 0.5])
    assert seen.improved == [True, True, False]
    best = json.loads((config.folder / "best_params.json").read_text())
    provenance = best.pop("_study")
    assert best == seen.tried[1]
    assert {key: provenance[key] for key in ("study", "family", "trial", "objective")} == {
        "study": "small",
        "family": "sdxl",
        "trial": 1,
        "objective": 0.6,
    }
    assert (provenance["max_train_steps"], provenance["objective_se"]) == (40, 0.1)
    assert provenance["checkpoint"].endswith("small/trial_0001/checkpoints/small.safetensors")


def test_best_params_are_left_alone_when_the_best_stays(make_study: Make, run: Run) -> None:
    config = make_study(n_trials=1)
    run(config, values=[0.6])
    (config.folder / "best_params.json").unlink()
    assert run(config, values=[0.6, 0.5], n_trials=3).improved == [False, False]
    assert not (config.folder / "best_params.json").exists()
    assert run(config, values=[0.7], n_trials=4).improved == [True]
    assert (config.folder / "best_params.json").exists()


def test_the_study_is_written_beside_its_results(make_study: Make, run: Run) -> None:
    config = make_study(n_trials=1)
    run(config)
    assert {"study.toml", "space.toml", "optimizer.db", "best_params.json"} <= {
        path.name for path in config.folder.iterdir()
    }


def test_a_trial_that_is_ended_from_outside_does_not_end_the_study(
    make_study: Make, run: Run, database: str | None
) -> None:
    """With the dashboard anyone can fail a running trial, and hours of others' work hang on it."""
    config = make_study(storage=database)

    def end_the_first(trial: optuna.Trial) -> None:
        if trial.number == 0:
            open_study(config).tell(0, state=TrialState.FAIL)

    run(config, meanwhile=end_the_first)
    assert states_of(config) == [TrialState.FAIL, *[TrialState.COMPLETE] * 3]


def test_a_trial_that_is_completed_by_hand_is_never_the_best(make_study: Make, run: Run) -> None:
    config = make_study()
    seen = run(
        config, meanwhile=lambda t: open_study(config).tell(t.number, 1.0) if not t.number else None
    )
    assert states_of(config) == [TrialState.COMPLETE] * 3
    assert seen.result.best.number == 1


def test_a_second_run_of_the_same_study_is_refused(make_study: Make, run: Run) -> None:
    config = make_study()
    with sole_runner(config.folder), pytest.raises(StudyError, match="another process is running"):
        run(config)
    assert len(run(config).tried) == 3


def test_bad_input_in_a_trial_ends_the_run_and_lets_go(make_study: Make, run: Run) -> None:
    config = make_study()

    def vanish(trial: optuna.Trial) -> None:
        raise ConfigError("a picture vanished")

    with pytest.raises(ConfigError, match="a picture vanished"):
        run(config, meanwhile=vanish)
    with sole_runner(config.folder):
        assert waiting_trials(open_study(config)) == 0
