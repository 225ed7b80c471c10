"""Opening a study: found again under its name, and refused when its trials would not compare."""

from collections.abc import Callable

import pytest

from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError, StudyError
from optimizer.study.open import load_existing, open_study

Make = Callable[..., StudyConfig]
DIMS = '[parameters.network_dim]\ntype = "categorical"\nchoices = {}\n'


def test_a_study_is_found_again(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    open_study(config).ask()
    assert len(open_study(config).trials) == len(load_existing(config).trials) == 1


def test_a_study_knows_what_it_was_made_with(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["objective"]
    assert study.user_attrs["family"] == "sdxl"
    assert study.user_attrs["scoring"]["trigger"] == "mivo"
    assert len(study.user_attrs["space_digest"]) == 16
    assert study.user_attrs["folder"] == str(config.folder)


def test_a_changed_space_is_refused_with_the_difference(
    make_study: Make, database: str | None
) -> None:
    open_study(make_study(storage=database, space=DIMS.format([4, 8, 16])))
    with pytest.raises(StudyError, match="made with another space") as refused:
        open_study(make_study(storage=database, space=DIMS.format([4, 8])))
    assert "-    16" in str(refused.value)
    assert "Give the changed study a new name, or undo:" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "what", "line"),
    [
        ({"training": "seed = 7"}, "space", '+  "seed": 7'),
        ({"scoring": 'preset = "style"'}, "scoring", '+ "preset": "style"'),
        ({"family": "sd15"}, "family", '+"sd15"'),
    ],
)
def test_a_change_of_what_is_trained_or_how_it_is_scored_is_refused(
    changes: dict[str, str], what: str, line: str, make_study: Make
) -> None:
    open_study(make_study())
    with pytest.raises(StudyError, match=f"made with another {what}") as refused:
        open_study(make_study(**changes))
    assert line in str(refused.value)


def test_length_sampler_and_constraints_may_change(make_study: Make) -> None:
    space = DIMS.format([4, 8])
    rule = '[[constraints]]\nrule = "network_dim < 9"\nreason = "too large"\n'
    open_study(make_study(space=space))
    assert open_study(make_study(space=space + rule, n_trials=99, sampler="tpe"))


def test_a_comment_or_another_order_in_the_space_is_no_change(make_study: Make) -> None:
    rate = '[parameters.learning_rate]\ntype = "float"\nlow = 1e-5\nhigh = 1e-3\n'
    open_study(make_study(space=DIMS.format([4, 8]) + rate))
    assert open_study(make_study(space=f"# turned\n{rate}" + DIMS.format([4, 8])))


def test_a_study_that_is_not_there_is_not_made_by_looking(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    with pytest.raises(StudyError, match="start it with `optimizer run`"):
        load_existing(config)
    assert not (config.folder / "optimizer.db").exists()


def test_a_space_that_cannot_be_searched_is_refused_before_anything_is_stored(
    make_study: Make,
) -> None:
    config = make_study(space=DIMS.format([0, 8]))
    with pytest.raises(ConfigError, match=r"parameters\.network_dim must be at least 1, found 0"):
        open_study(config)
    assert load_study(config.path)


def test_two_studies_share_a_database(make_study: Make, postgres_database: str) -> None:
    first = make_study(storage=postgres_database)
    other = first.model_copy(update={"study": first.study.model_copy(update={"name": "other"})})
    open_study(first).ask()
    assert not open_study(other).trials
