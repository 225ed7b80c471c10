"""When a trial is given up: late enough, clearly worse, and nobody's seed."""

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState, create_trial

from optimizer.config.study import StopConfig
from optimizer.study.pruner import BestSoFarPruner, build_pruner

PLANNED = 6


def study_of(curves: Sequence[dict[int, float]], **facts: Any) -> optuna.Study:
    """A study whose feasible trials had these values by epoch."""
    study = optuna.create_study(direction="maximize", pruner=BestSoFarPruner())
    for curve in curves:
        study.add_trial(
            create_trial(
                value=max(curve.values()),
                intermediate_values=curve,
                user_attrs={"feasible": True} | facts,
            )
        )
    return study


def flat(*values: float) -> list[dict[int, float]]:
    return [dict.fromkeys((1, 2, 4, 6), value) for value in values]


def is_given_up(study: optuna.Study, curve: dict[int, float], **facts: Any) -> bool:
    trial = study.ask()
    for key, value in ({"planned_epochs": PLANNED} | facts).items():
        trial.set_user_attr(key, value)
    for epoch, value in curve.items():
        trial.report(value, epoch)
    return trial.should_prune()


FIVE = flat(0.1, 0.2, 0.5, 0.6, 0.7)


@pytest.mark.parametrize(("value", "hopeless"), [(0.49, True), (0.5, False), (0.51, False)])
def test_the_median_is_what_a_trial_is_measured_against(value: float, hopeless: bool) -> None:
    assert is_given_up(study_of(FIVE), {2: value}) == hopeless


def test_the_best_so_far_counts_on_both_sides() -> None:
    peaked = [{2: 0.5, 4: 0.1}] * 5
    assert is_given_up(study_of(peaked), {2: 0.4, 4: 0.2})
    assert not is_given_up(study_of(peaked), {2: 0.6, 4: 0.2})


def test_what_others_became_later_is_not_asked_of_it_yet() -> None:
    slow = [{2: 0.1, 4: 0.9}] * 5
    assert not is_given_up(study_of(slow), {2: 0.2})
    assert is_given_up(study_of(slow), {2: 0.2, 4: 0.3})


@pytest.mark.parametrize(("error", "hopeless"), [(0.05, True), (0.15, False)])
def test_a_difference_within_the_noise_is_none(error: float, hopeless: bool) -> None:
    assert is_given_up(study_of(FIVE), {2: 0.4}, objective_se=error) == hopeless


@pytest.mark.parametrize(
    ("epoch", "hopeless"), [(1, False), (2, True), (4, True), (6, False)], ids=str
)
def test_not_before_a_third_nor_when_nothing_is_left(epoch: int, hopeless: bool) -> None:
    assert is_given_up(study_of(FIVE), {epoch: 0.0}) == hopeless


def test_not_before_five_feasible_trials_came_as_far() -> None:
    assert not is_given_up(study_of(FIVE[1:]), {2: 0.0})
    assert not is_given_up(study_of([*FIVE[1:], {1: 0.5}]), {2: 0.0})
    assert not is_given_up(study_of([*FIVE[1:], {4: 0.5}]), {2: 0.0})
    infeasible = study_of(FIVE[:1], feasible=False)
    infeasible.add_trials(study_of(FIVE[1:]).get_trials())
    assert not is_given_up(infeasible, {2: 0.0})


def test_trials_that_failed_or_run_are_no_measure() -> None:
    study = study_of(FIVE[1:])
    for state in (TrialState.FAIL, TrialState.RUNNING):
        study.add_trial(
            create_trial(state=state, intermediate_values=FIVE[0], user_attrs={"feasible": True})
        )
    assert not is_given_up(study, {2: 0.0})


def test_seeds_and_trials_without_a_plan_are_let_be() -> None:
    assert not is_given_up(study_of(FIVE), {2: 0.0}, seed_id="learning_rate=0.1")
    assert not is_given_up(study_of(FIVE), {2: 0.0}, planned_epochs=None)
    assert not is_given_up(study_of(FIVE), {})


def test_several_objectives_are_not_compared() -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    told = {"intermediate_values": {2: 0.5}, "user_attrs": {"feasible": True}}
    study.add_trials([create_trial(values=(0.5, 0.5), **told)] * 5)
    lagging = create_trial(
        state=TrialState.RUNNING,
        intermediate_values={2: 0.0},
        user_attrs={"planned_epochs": PLANNED},
    )
    assert not BestSoFarPruner().prune(study, lagging)


def test_it_can_be_switched_off() -> None:
    assert type(build_pruner(StopConfig())) is BestSoFarPruner
    assert type(build_pruner(StopConfig(hopeless_trials=False))) is NopPruner
