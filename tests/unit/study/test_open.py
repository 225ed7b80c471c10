"""A study is created once, found again, and refused when it is not the one that was made."""

import subprocess
import sys
from collections.abc import Callable

import optuna
import pytest

from optimizer.config.study import StudyConfig
from optimizer.errors import ConfigError, StudyError
from optimizer.study.open import load_existing, open_study, space_of

Make = Callable[..., StudyConfig]

HALF_MADE = """
import sys
from pathlib import Path
import optuna
from optimizer.config.study import load_study
from optimizer.storage.database import open_storage, storage_url
config = load_study(Path(sys.argv[1]))
storage = open_storage(storage_url(config.folder, config.study.storage))
study = optuna.create_study(study_name=config.name, storage=storage, direction="maximize")
study.set_user_attr("family", config.model.family)
"""


def test_a_study_holds_what_it_was_made_with(make_study: Make, database: str | None) -> None:
    config = make_study(storage=database)
    made = open_study(config).user_attrs
    assert made["family"] == "sdxl"
    assert made["space_digest"] == space_of(config).digest()
    assert made["folder"] == str(config.folder.resolve())
    assert made["scoring"]["trigger"] == "mivo"
    assert open_study(config).user_attrs == made
    assert load_existing(config).user_attrs == made


def test_bigger_is_better_and_the_value_has_a_name(make_study: Make) -> None:
    study = open_study(make_study())
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["objective"]


def test_a_run_that_died_while_it_made_the_study_is_made_good(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    subprocess.run([sys.executable, "-c", HALF_MADE, config.path], check=True)
    assert set(load_existing(config).user_attrs) == {"family"}
    study = open_study(config)
    assert {"space", "scoring", "folder", "space_digest"} <= set(study.user_attrs)
    assert study.metric_names == ["objective"]


def test_there_is_nothing_to_read_before_the_first_run(
    make_study: Make, database: str | None
) -> None:
    config = make_study(storage=database)
    with pytest.raises(StudyError, match=r"no study .* yet; start it with `optimizer run`"):
        load_existing(config)


def test_another_family_is_refused_with_both_names(make_study: Make) -> None:
    open_study(make_study())
    with pytest.raises(StudyError, match="made with another family") as refused:
        open_study(make_study(family="sd15"))
    assert '-"sdxl"' in str(refused.value)
    assert '+"sd15"' in str(refused.value)


def test_a_study_of_that_name_that_is_not_ours_is_refused(make_study: Make) -> None:
    config = make_study()
    study = open_study(config)
    optuna.delete_study(study_name="small", storage=study._storage)
    other = optuna.create_study(study_name="small", storage=study._storage, direction="maximize")
    other.add_trial(optuna.create_trial(value=0.5))
    with pytest.raises(StudyError, match="made with another family"):
        open_study(config)


def test_a_fixed_setting_is_a_part_of_the_space(make_study: Make) -> None:
    open_study(make_study())
    with pytest.raises(StudyError, match="made with another space") as refused:
        open_study(make_study(training="max_train_epochs = 4"))
    assert "max_train_epochs" in str(refused.value)


def test_folders_of_other_trials_are_not_written_over(make_study: Make) -> None:
    config = make_study()
    (config.folder / "trial_0000").mkdir(parents=True)
    with pytest.raises(StudyError, match=r"holds trials \(trial_0000\) of a study small"):
        open_study(config)


def test_a_space_that_cannot_be_searched_is_said_with_its_file(make_study: Make) -> None:
    space = '[parameters.network_alpha]\ntype = "float"\nratio_of = "nothing"\nlow = 0.1\nhigh = 1'
    with pytest.raises(ConfigError, match=r"space\.toml"):
        space_of(make_study(space=space))
