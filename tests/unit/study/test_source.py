"""Studies of other programs, and ours, as the source of a transfer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from optimizer.config.study import StudyConfig
from optimizer.errors import StorageError, TransferError
from optimizer.space.fit import fit
from optimizer.study.carry import from_trials
from optimizer.study.open import space_of
from optimizer.study.results import counted_trials
from optimizer.study.source import SourceTrial, diverse, read_study

Run = Callable[..., Any]
Make = Callable[..., StudyConfig]

DISTRIBUTIONS = {
    "learning_rate": FloatDistribution(1e-6, 1e-1, log=True),
    "network_dim": CategoricalDistribution([16, 64, 128]),
    "network_alpha_ratio": FloatDistribution(0.1, 1.0),
    "flavour": CategoricalDistribution(["sweet", "sour"]),
}


def params(rate: float, dim: int = 64, ratio: float = 0.5) -> dict[str, Any]:
    return {
        "learning_rate": rate,
        "network_dim": dim,
        "network_alpha_ratio": ratio,
        "flavour": "sweet",
    }


def foreign(url: str, direction: str = "minimize", name: str = "theirs") -> optuna.Study:
    """A study as another script makes it: nothing of ours in it."""
    study = optuna.create_study(study_name=name, storage=url, direction=direction)
    for value, rate, dim in ((0.3, 1e-4, 64), (0.1, 2e-4, 16), (0.2, 1e-3, 128)):
        kept = {"optimizer_type": "AdamW", "lpips": 0.4}
        trial = create_trial(
            params=params(rate, dim), distributions=DISTRIBUTIONS, value=value, user_attrs=kept
        )
        study.add_trial(trial)
    study.add_trial(create_trial(state=optuna.trial.TrialState.FAIL))
    return study


@pytest.fixture
def url(tmp_path: Path, database: str | None) -> str:
    if database is None:
        return f"sqlite:///{tmp_path / 'theirs.db'}"
    return database.replace("postgresql://", "postgresql+psycopg://")


@pytest.mark.parametrize(("direction", "order"), [("minimize", [1, 2, 0]), ("maximize", [0, 2, 1])])
def test_anothers_study_is_read_best_first(url: str, direction: str, order: list[int]) -> None:
    foreign(url, direction)
    source = read_study(url, None)
    assert (source.name, source.family) == ("theirs", None)
    assert [trial.number for trial in source.trials] == order
    best = next(trial for trial in source.trials if trial.number == 1)
    assert best.hyperparameters == {
        "learning_rate": 2e-4,
        "network_dim": 16,
        "network_alpha": 8.0,
        "flavour": "sweet",
        "optimizer_type": "AdamW",
    }
    assert source.facts["trial"] == order[0]


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    foreign(f"sqlite:///{path}")
    before = path.read_bytes()
    read_study(str(path), "theirs")
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["theirs.db"]


def test_our_own_study_gives_what_was_trained(
    make_study: Make, run_values: Run, database: str | None
) -> None:
    config = make_study(storage=database)
    study = run_values(config, [0.2, None, 0.6], n_trials=3).study
    where = database or str(config.folder / "optimizer.db")
    source = read_study(where, "small")
    assert (source.family, source.facts["max_train_steps"]) == ("sdxl", 40)
    assert [trial.number for trial in source.trials] == [2, 0]
    assert (
        source.trials[0].hyperparameters == counted_trials(study)[2].user_attrs["effective_params"]
    )


def test_seeds_of_a_study_say_where_they_come_from_and_fit_another(
    tmp_path: Path, make_study: Make
) -> None:
    foreign(f"sqlite:///{tmp_path / 'theirs.db'}")
    carried = from_trials(read_study(str(tmp_path / "theirs.db"), None), "sdxl", "ladder", 2)
    assert [round(seed["learning_rate"], 8) for seed in carried.seeds] == [
        2e-4,
        6.667e-05,
        6e-4,
        1e-3,
    ]
    assert carried.origins[0] == "the best, learning rate x 1"
    assert carried.origins[3] == "trial 2 of theirs (0.2)"
    space = space_of(make_study())
    assert all(fit(seed, space).params for seed in carried.seeds)


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("nowhere.db", None, "nowhere.db: no such database file"),
        ("theirs.db", "their", "has no study their; did you mean theirs?; it has: ours, theirs"),
        ("theirs.db", None, "say with --study-name which study; it has: ours, theirs"),
        ("theirs.db", "ours", "study ours has no finished trial with a score"),
        ("theirs.db", "several", "several objectives"),
        ("text.db", "x", "cannot be read as an Optuna database"),
        ("empty.db", "x", "cannot be read as an Optuna database"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, text: str, name: str | None, sentence: str
) -> None:
    database = f"sqlite:///{tmp_path / 'theirs.db'}"
    foreign(database)
    optuna.create_study(study_name="ours", storage=database)
    if name == "several":
        two = optuna.create_study(
            study_name=name, storage=database, directions=["minimize", "maximize"]
        )
        two.add_trial(create_trial(values=[0.1, 0.2]))
    (tmp_path / "text.db").write_text("a letter")
    (tmp_path / "empty.db").touch()
    with pytest.raises(TransferError) as refused:
        read_study(str(tmp_path / text), name)
    assert sentence in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_no_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIRS", "postgresql://me:sesame@127.0.0.1:1/none")
    with pytest.raises(TransferError, match="cannot be read") as refused:
        read_study("env:THEIRS", None)
    assert "sesame" not in str(refused.value)
    with pytest.raises(StorageError, match="the variable NOT_THERE is not set"):
        read_study("env:NOT_THERE", None)


def test_values_that_no_training_can_have_are_refused_by_trial(tmp_path: Path) -> None:
    study = foreign(f"sqlite:///{tmp_path / 'theirs.db'}")
    study.add_trial(
        create_trial(
            params={"network_alpha": "big"},
            distributions={"network_alpha": CategoricalDistribution(["big", "small"])},
            value=0.05,
        )
    )
    with pytest.raises(TransferError, match=r"trial 4: network_alpha must be"):
        read_study(str(tmp_path / "theirs.db"), None)


def trial(number: int, rate: float, dim: int = 64, kind: str = "AdamW") -> SourceTrial:
    settings = {"learning_rate": rate, "network_dim": dim, "optimizer_type": kind}
    return SourceTrial(number, 1.0 - number / 10, settings)


def test_diverse_trials_are_good_and_far_apart() -> None:
    near = [trial(0, 1e-4), trial(1, 1.1e-4), trial(2, 1e-2, 128, "Lion"), trial(3, 1e-3)]
    far_but_bad = [trial(n, 1e-6, 16, "Prodigy") for n in range(4, 9)]
    assert [t.number for t in diverse([*near, *far_but_bad], 2)] == [0, 2]
    assert [t.number for t in diverse(near, 3)] == [0, 2, 3]
    assert [t.number for t in diverse(near[:1], 5)] == [0]


def test_a_password_on_the_command_line_is_refused_without_telling_it() -> None:
    with pytest.raises(TransferError, match="must hold no password") as refused:
        read_study("postgresql://me:sesame@127.0.0.1:1/none", None)
    assert "sesame" not in str(refused.value)
