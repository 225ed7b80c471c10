"""Seeds: fitted to the space, enqueued once, whoever starts again."""

import math
from collections.abc import Callable

from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.study.open import open_study, space_of
from optimizer.study.seeds import count_seeds, enqueue_seeds, seed_id, waiting_trials

Make = Callable[..., StudyConfig]
SEED = {"learning_rate": 3e-4, "network_dim": 8, "network_alpha": 4.0}


def test_a_seed_is_run_as_it_was_given(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    study, space = open_study(config), space_of(config)
    (fitted,) = enqueue_seeds(study, [SEED], space)
    assert fitted.notes == {}
    settings = space.suggest(study.ask()).model_dump(include=set(SEED))
    assert settings == SEED


def test_seeds_are_enqueued_once_whatever_became_of_them(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    study, space = open_study(config), space_of(config)
    other = SEED | {"learning_rate": 1e-3}
    enqueue_seeds(study, [SEED, other], space)
    assert waiting_trials(study) == 2
    study.tell(study.ask(), state=TrialState.FAIL)
    turned = {name: SEED[name] for name in reversed(SEED)}
    enqueue_seeds(study, [turned, other], space)
    assert waiting_trials(study) == 1
    assert count_seeds(study) == 2


def test_seeds_that_the_space_makes_equal_are_one(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    too_fast = [SEED | {"learning_rate": rate} for rate in (0.5, 0.9)]
    fitted = enqueue_seeds(study, too_fast, space_of(config))
    assert all("taken" in seed.notes["learning_rate"] for seed in fitted)
    assert waiting_trials(study) == 1
    assert math.isclose(study.trials[0].system_attrs["fixed_params"]["learning_rate"], 1e-2)


def test_a_seed_of_which_nothing_fits_is_said_and_not_enqueued(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    (fitted,) = enqueue_seeds(study, [{"max_train_epochs": 3}], space_of(config))
    assert "fixed at 10" in fitted.notes["max_train_epochs"]
    assert waiting_trials(study) == count_seeds(study) == 0


def test_identity_tells_values_apart_and_not_their_order() -> None:
    assert seed_id({"a": 1, "b": 2}) == seed_id({"b": 2, "a": 1})
    assert seed_id({"a": 1}) != seed_id({"a": 2})
