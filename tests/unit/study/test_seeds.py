"""First trials: enqueued once each, as the space has room for them."""

import threading
from collections.abc import Callable

from optuna.trial import TrialState

from optimizer.config.study import StudyConfig
from optimizer.storage.database import one_at_a_time
from optimizer.study.open import open_study, space_of
from optimizer.study.seeds import count_seeds, enqueue_seeds, seed_id, waiting_trials

Make = Callable[..., StudyConfig]
SEEDS = [{"learning_rate": rate, "network_dim": 8} for rate in (1e-3, 1e-4, 3e-4)]


def enqueue(config: StudyConfig, seeds: list[dict[str, float]]) -> int:
    """Over a study opened anew each time, as by another process; returns how many wait."""
    study = open_study(config)
    enqueue_seeds(study, seeds, space_of(config))
    return waiting_trials(study)


def test_seeds_are_enqueued_once_however_often_they_are_given(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    assert [enqueue(config, SEEDS) for _ in range(2)] == [3, 3]
    assert enqueue(config, [*SEEDS, {"learning_rate": 9e-4}]) == 4
    assert count_seeds(open_study(config)) == 4


def test_seeds_are_tried_in_order(make_study: Make) -> None:
    config = make_study()
    enqueue(config, SEEDS)
    study = open_study(config)
    rates = [space_of(config).suggest(study.ask()).learning_rate for _ in SEEDS]
    assert rates == [1e-3, 1e-4, 3e-4]


def test_a_seed_that_was_tried_is_not_tried_again(make_study: Make) -> None:
    config = make_study()
    enqueue(config, SEEDS[:1])
    study = open_study(config)
    study.tell(study.ask(), state=TrialState.FAIL)
    assert enqueue(config, SEEDS[:1]) == 0


def test_seeds_that_the_space_makes_equal_are_tried_once(make_study: Make) -> None:
    assert enqueue(make_study(), [{"learning_rate": 1.0}, {"learning_rate": 2.0}]) == 1


def test_a_seed_of_which_nothing_fits_is_not_tried(make_study: Make) -> None:
    assert enqueue(make_study(), [{"seed": 7}, {"learning_rate": "fast"}, {}]) == 0


def test_the_order_of_its_parameters_makes_no_other_seed() -> None:
    assert seed_id({"a": 1, "b": "x"}) == seed_id({"b": "x", "a": 1})
    assert seed_id({"a": 1}) != seed_id({"a": 2})


def test_workers_that_start_together_never_get_the_same_seed(make_study: Make) -> None:
    """Through the lock around ask: without it SQLite hands one waiting trial to two workers."""
    config = make_study()
    seeds = [{"learning_rate": 1e-4 * (k + 1), "network_dim": 8} for k in range(12)]
    enqueue_seeds(open_study(config), seeds, space_of(config))
    barrier, rates = threading.Barrier(4), []

    def work() -> None:
        study = open_study(config)
        barrier.wait()
        for _ in range(3):
            with one_at_a_time(config.folder):
                trial = study.ask()
            rates.append(space_of(config).suggest(trial).learning_rate)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rates) == len(set(rates)) == 12
