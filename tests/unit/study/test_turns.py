"""One `optimizer run` of a study on a machine."""

from collections.abc import Callable

import pytest

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.study.turns import is_run_here, sole_runner

Make = Callable[..., StudyConfig]


def test_the_second_runner_is_refused_and_told_who_the_first_is(make_study: Make) -> None:
    config = make_study()
    with (
        sole_runner(config),
        pytest.raises(StudyError, match=r"study small is being run already, by process \d+"),
        sole_runner(config),
    ):
        pass
    with sole_runner(config):
        pass


def test_a_runner_that_fails_lets_go(make_study: Make) -> None:
    config = make_study()
    with pytest.raises(TimeoutError, match="of its own"), sole_runner(config):
        raise TimeoutError("of its own")
    assert not is_run_here(config)


def test_a_running_study_is_known_by_its_lock_and_nothing_is_written(make_study: Make) -> None:
    config = make_study()
    with sole_runner(config):
        assert is_run_here(config)
    assert not is_run_here(config)
    assert not config.folder.exists()
