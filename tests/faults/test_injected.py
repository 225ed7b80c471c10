"""Trials that fail from within: the study says what happened and goes on."""

from collections.abc import Callable

from optimizer.processes import WORN_OUT
from optimizer.trial import attrs

from .bed import Bed


def test_trials_that_fail_from_within(make_bed: Callable[..., Bed], database: str | None) -> None:
    faults = {"1": "out_of_memory", "2": "nan", "4": "crash"}
    bed = make_bed(database, plan={"faults": faults, "steps": 4}, n_trials=6)
    assert bed.run()[0] == 0
    bed.check(6)
    trials = bed.trials()
    kinds = [trial.user_attrs[attrs.OUTCOME] for trial in trials]
    assert kinds[1:3] == ["out_of_memory", "non_finite_loss"]
    assert (kinds[4], len(trials)) == ("OSError", 7)
    assert "lower train_batch_size" in trials[1].user_attrs[attrs.REASON]
    again = next(trial for trial in trials if attrs.RETRY_OF in trial.user_attrs)
    assert again.params == trials[4].params


def test_a_trial_that_hangs_is_ended_and_goes_on_in_a_fresh_process(
    make_bed: Callable[..., Bed], database: str | None
) -> None:
    bed = make_bed(database, plan={"faults": {"1": "hang"}, "patience": 2.0}, n_trials=4)
    assert bed.run()[0] == WORN_OUT
    assert bed.run()[0] == 0
    bed.check(4)
    hung = bed.trials()[1]
    assert hung.user_attrs[attrs.OUTCOME] == "hung"
    assert "_suffer" in (bed.config.folder / "trial_0001" / "hang.txt").read_text()
    again = next(trial for trial in bed.trials() if attrs.RETRY_OF in trial.user_attrs)
    # The trial goes on where it was: updates before the hang are not made again.
    assert next(e["step"] for e in bed.events("step") if e["trial"] == again.number) == 5
