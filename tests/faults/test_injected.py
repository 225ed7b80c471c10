"""Trials that fail from within: the study says what happened and goes on."""

from collections.abc import Callable

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
