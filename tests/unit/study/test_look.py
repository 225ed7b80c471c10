"""Onlookers see what workers write, wherever a study lives."""

from collections.abc import Callable

import pytest

from optimizer.config.study import StudyConfig
from optimizer.errors import StorageError, StudyError
from optimizer.study.look import Onlooker
from optimizer.study.open import open_study

Make = Callable[..., StudyConfig]


def test_looks_see_what_happens_between_them(make_study: Make, database: str | None) -> None:
    config = make_study(**({"storage": database} if database else {}))
    study, onlooker = open_study(config), Onlooker(config)
    assert onlooker.look().trials == []
    study.ask()
    study.tell(0, 0.5)
    assert [trial.value for trial in onlooker.look().trials] == [0.5]
    assert onlooker.look().user_attrs == study.user_attrs


def test_what_is_not_there_is_said(make_study: Make, postgres_database: str) -> None:
    with pytest.raises(StudyError, match=r"study.toml: study small has not begun, its database"):
        Onlooker(make_study()).look()
    with pytest.raises(StudyError, match="there is no study small in its storage yet"):
        Onlooker(make_study(storage=postgres_database)).look()
    with pytest.raises(StorageError, match="cannot be opened"):
        Onlooker(make_study(storage="postgresql://me@127.0.0.1:1/none")).look()
