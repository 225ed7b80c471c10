"""First trials from a file, or from the study that this one replaces."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError, StudyError, TransferError
from optimizer.report.beginning import Beginning
from optimizer.study.open import open_study, space_of
from optimizer.study.seeds import enqueue_seeds

Make = Callable[..., StudyConfig]
WIDER = """
[parameters.learning_rate]
type = "float"
low = 1e-6
high = 1e-1
log = true
[parameters.network_dim]
type = "categorical"
choices = [4, 8, 16, 32]
"""


@pytest.fixture
def old(make_study: Make, run_told: Callable[..., object]) -> Path:
    """The resolved file of a study with seven trials."""
    config = make_study(n_trials=7)
    run_told(config, [0.1, 0.9, "bad_pictures", 0.5, 0.8, 0.2, 0.7])
    return config.folder / "study.toml"


def test_a_changed_study_begins_with_the_old_ones_good_trials(old: Path, make_study: Make) -> None:
    path = make_study(space=WIDER).path
    path.write_text(path.read_text().replace('name = "small"', 'name = "wider"'))
    new = load_study(path)
    carried = Beginning(new_study_from=old).transfer(new)
    assert carried is not None
    assert len(carried.seeds) == 5
    assert carried.origins[0] == "the best"
    assert carried.provenance["trial"] == 1
    for _ in range(2):  # however often it is typed
        enqueue_seeds(open_study(new), carried.seeds, space_of(new))
    waiting = open_study(new).trials
    assert len(waiting) == 5
    best = json.loads((old.parent / "best_params.json").read_text())
    fixed = waiting[0].system_attrs["fixed_params"]
    assert fixed == pytest.approx({n: best[n] for n in ("learning_rate", "network_dim")})


def test_a_study_is_not_its_own_successor(old: Path) -> None:
    with pytest.raises(StudyError, match="are the same study small; give the new one another"):
        Beginning(new_study_from=old).transfer(load_study(old))


def test_a_study_without_trials_begins_nothing(make_study: Make) -> None:
    config = make_study()
    other = config.model_copy(update={"study": config.study.model_copy(update={"name": "new"})})
    with pytest.raises(TransferError, match="no such database file"):
        Beginning(new_study_from=config.path).transfer(other)


def test_both_at_once_are_refused(make_study: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give either --init-params or --new-study-from"):
        Beginning(tmp_path / "a.json", tmp_path / "b.toml").transfer(make_study())


def test_nothing_asked_is_nothing_carried(make_study: Make) -> None:
    assert Beginning().transfer(make_study()) is None
    assert Beginning().options() == []


def test_the_worker_is_told_the_same(tmp_path: Path) -> None:
    given = Beginning(new_study_from=tmp_path / "old.toml")
    assert given.options() == ["--new-study-from", str(tmp_path / "old.toml")]
