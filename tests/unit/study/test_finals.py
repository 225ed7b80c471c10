"""Who is best in the end: search, finals, or a person; and the same trials under another preset."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial
from optuna_dashboard._note import save_note_with_version

from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError, StudyError
from optimizer.study.announce import write_best
from optimizer.study.best_params import read_best_params
from optimizer.study.checkpoints import entries, entry_of
from optimizer.study.choice import keep_finals, keep_pick, picked
from optimizer.study.entry import Entry
from optimizer.study.finals import Finals, held_before, hold, write_finals
from optimizer.study.open import load_existing, open_study
from optimizer.study.rescore import renamed, rescore
from optimizer.study.results import BestTrial, best_trial
from optimizer.trial import attrs

from .scored import add_trial, finished, metrics, read, scored

Make = Callable[..., StudyConfig]


@pytest.fixture
def config(make_study: Make) -> StudyConfig:
    return make_study()


@pytest.fixture
def three(config: StudyConfig) -> StudyConfig:
    """Objectives rise with clip_i; each trial has two checkpoints."""
    finished(
        config,
        [
            {2: scored(metrics(0.4)), 4: scored(metrics(0.5))},
            {2: scored(metrics(0.7)), 4: scored(metrics(0.6))},
            {2: scored(metrics(0.3)), 4: scored(metrics(0.65))},
        ],
    )
    return config


def best_of(config: StudyConfig) -> BestTrial:
    found = best_trial(load_existing(config), config.folder)
    assert found is not None
    return found


def test_the_best_checkpoints_across_trials(three: StudyConfig) -> None:
    found = entries(load_existing(three), three.folder, 3)
    assert [(e.trial, e.epoch) for e in found] == [(1, 2), (2, 4), (1, 4)]
    assert (three.folder / found[0].checkpoint).is_file()


def test_deleted_and_unusable_checkpoints_take_no_part(config: StudyConfig) -> None:
    black = scored(metrics(0.75), bad=9)
    study = finished(config, [{2: scored(metrics(0.7)), 4: scored(metrics(0.6)), 6: black}])
    (config.folder / "trial_0000/checkpoints/small-000002.safetensors").unlink()
    assert [e.epoch for e in entries(study, config.folder, 3)] == [4]


def held(config: StudyConfig, again: dict[tuple[int, int], float], top: int = 3) -> Finals:
    """Finals whose fresh pictures have these clip_i by trial and epoch."""
    found = entries(load_existing(config), config.folder, top)
    return hold(found, lambda e: scored(metrics(again[e.trial, e.epoch], pictures=32), seed=1000))


def test_finals_rank_anew_and_say_so(three: StudyConfig) -> None:
    finals = held(three, {(1, 2): 0.5, (2, 4): 0.66, (1, 4): 0.6})
    ranks = [(f.entry.trial, f.entry.epoch, f.search_rank, f.rank) for f in finals.finalists]
    assert ranks == [(2, 4, 2, 1), (1, 4, 3, 2), (1, 2, 1, 3)]
    assert not finals.agree
    assert finals.pictures == 32
    assert finals.finalists[0].behind.difference == 0
    assert finals.finalists[2].behind.difference < finals.finalists[1].behind.difference < 0
    assert "trial 2 at epoch 4 won the finals of 3" in finals.sentence()
    assert finals.sentence().endswith("the search's best comes number 3")
    assert "within noise" not in finals.sentence(), "these pictures have no noise"


def test_a_lead_within_noise_is_called_that(three: StudyConfig) -> None:
    rng = np.random.default_rng(0)
    found = entries(load_existing(three), three.folder, 2)
    noisy = [scored(metrics(0.6 + rng.normal(0, 0.1, 32), pictures=32)) for _ in found]
    finals = hold(found, lambda e: noisy[found.index(e)])
    assert not finals.finalists[1].behind.is_clear
    assert "within noise" in finals.sentence()


def announced(config: StudyConfig, finals: Finals) -> BestTrial:
    study = load_existing(config)
    trials = [f.entry.trial for f in finals.finalists]
    keep_finals(study, finals.choice(), trials, finals.agree)
    best = best_of(config)
    write_best(config, study, best)
    return best


def test_the_winner_of_finals_is_best(three: StudyConfig) -> None:
    study = load_existing(three)
    study.set_user_attr(attrs.SPACE_DIGEST, "x")
    assert (best_of(three).number, best_of(three).chosen_by) == (1, "search")
    best = announced(three, held(three, {(1, 2): 0.5, (2, 4): 0.66, (1, 4): 0.6}))
    assert (best.number, best.epoch, best.chosen_by) == (2, 4, "finals")
    assert best.params == {"learning_rate": 0.003}
    assert best.checkpoint == three.folder / "trial_0002/checkpoints/small-000004.safetensors"
    values, provenance = read_best_params(three.folder / "best_params.json")
    assert values == {"learning_rate": 0.003}
    assert (provenance["trial"], provenance["epoch"]) == (2, 4)
    assert provenance["finals_agree"] is False
    assert "won the finals" in provenance["why"]


def test_a_later_trial_that_beats_them_all_makes_finals_out_of_date(three: StudyConfig) -> None:
    announced(three, held(three, {(1, 2): 0.5, (2, 4): 0.66, (1, 4): 0.6}))
    study = load_existing(three)
    add_trial(three, study, 3, {2: scored(metrics(0.4))})
    assert best_of(three).chosen_by == "finals"
    add_trial(three, study, 4, {2: scored(metrics(0.78))})
    assert (best_of(three).number, best_of(three).chosen_by) == (4, "search")


def test_a_person_overrules_both_and_can_take_it_back(three: StudyConfig) -> None:
    announced(three, held(three, {(1, 2): 0.5, (2, 4): 0.66, (1, 4): 0.6}))
    study = load_existing(three)
    keep_pick(study, picked(entry_of(study, three.folder, 0, 2), "the eyes"))
    best = best_of(three)
    assert (best.number, best.epoch, best.chosen_by, best.why) == (0, 2, "pick", "the eyes")
    add_trial(three, study, 3, {2: scored(metrics(0.79))})
    assert best_of(three).number == 0, "until it is taken back"
    keep_pick(study, None)
    assert best_of(three).number == 3


@pytest.mark.parametrize(
    ("trial", "epoch", "message"),
    [
        (9, 2, "small has no trial 9 with usable pictures; it has: 0, 1, 2"),
        (0, 3, "trial 0 of small has no checkpoint of epoch 3; it has: 2, 4"),
    ],
)
def test_only_what_is_there_can_be_picked(
    three: StudyConfig, trial: int, epoch: int, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        entry_of(load_existing(three), three.folder, trial, epoch)


def test_a_deleted_file_cannot_be_picked(three: StudyConfig) -> None:
    (three.folder / "trial_0000/checkpoints/small-000002.safetensors").unlink()
    with pytest.raises(StudyError, match="has been deleted"):
        entry_of(load_existing(three), three.folder, 0, 2)


def test_the_same_finals_are_held_once(three: StudyConfig) -> None:
    path, asked = three.folder / "finals.json", {"checkpoints": ["a"]}
    assert not held_before(path, asked)
    write_finals(path, held(three, {(1, 2): 0.5, (2, 4): 0.66, (1, 4): 0.6}), asked)
    assert held_before(path, asked)
    assert not held_before(path, {"checkpoints": ["b"]})
    told = read(path)
    assert told["finalists"][0]["search"]["rank"] == 2
    assert told["agree"] is False
    path.write_text("{")
    assert not held_before(path, asked)


def test_finals_find_the_truly_best_more_often_than_the_search() -> None:
    """80 simulated searches of 12 LoRAs with the noise measured on a demo world: sd of clip_i
    0.077 within a prompt; 4 prompts of 2 pictures in the search, of 8 in finals. 53 against 43."""
    rng = np.random.default_rng(1)
    won = {"search": 0, "finals": 0}
    for _ in range(80):
        truth = rng.uniform(0.45, 0.65, 12)

        def drawn(lora: int, pictures: int, truth: np.ndarray = truth) -> object:
            values = rng.normal(truth[lora], 0.077, pictures)
            return scored(metrics(values, pictures=pictures))

        found = [
            Entry(lora, 2, "", "", drawn(lora, 8).scores.objective, 0.0)  # type: ignore[attr-defined]
            for lora in range(12)
        ]
        found.sort(key=lambda entry: entry.objective, reverse=True)
        finals = hold(found[:3], lambda e: drawn(e.trial, 32))  # type: ignore[arg-type, return-value]
        won["search"] += truth[found[0].trial] == truth.max()
        won["finals"] += truth[finals.finalists[0].entry.trial] == truth.max()
    assert won["finals"] > won["search"]


def test_another_preset_ranks_the_same_trials_anew(config: StudyConfig) -> None:
    """One knows the subject and forgets the prompt, the other obeys."""
    subject, between, prompt = metrics(0.75, 0.2), metrics(0.5, 0.3), metrics(0.55, 0.3)
    finished(config, [{2: scored(subject), 4: scored(between)}, {2: scored(prompt)}])
    study = load_existing(config)
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={attrs.OUTCOME: "error"}))
    infeasible = create_trial(value=0.0, user_attrs={attrs.FEASIBLE: False})
    study.add_trial(infeasible)
    assert (best_of(config).number, best_of(config).epoch) == (0, 2)
    new = renamed(config, "small_prompt", "prompt")
    again = rescore(config, new)
    assert [t.state for t in again.trials] == [t.state for t in study.trials]
    best = best_trial(again, new.folder)
    assert best is not None
    assert best.number == 1
    expected = [scored(m, "prompt").scores for m in (between, prompt)]
    for trial, scores in zip(again.trials, expected, strict=False):
        assert trial.value == pytest.approx(scores.objective, abs=1e-6)
        assert trial.user_attrs[attrs.STANDARD_ERROR] == pytest.approx(scores.objective_se)
    facts = again.trials[0].user_attrs
    assert facts[attrs.EPOCH] == 4, "another checkpoint of it is best now"
    assert facts[attrs.CHECKPOINT].endswith("trial_0000/checkpoints/small-000004.safetensors")
    assert again.trials[3].value == 0
    assert best.checkpoint.is_file(), "LoRAs stay where they are"
    assert read(new.folder / "best_params.json")["_study"]["study"] == "small_prompt"
    told = read(new.folder / "trial_0000/scores.json")["checkpoints"]
    assert [one["epoch"] for one in told] == [2, 4]
    assert [e.trial for e in entries(again, new.folder, 3)] == [1, 0, 0]


def test_a_study_named_by_a_relative_path_can_go_on_after_rescoring(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own folder has the paths written out: both must be the same scoring."""
    monkeypatch.chdir(config.path.parent)
    text = config.path.read_text().replace("[scoring]", '[scoring]\nreference_dir = "refs"')
    config.path.write_text(text)
    near = load_study(Path("study.toml"))
    finished(near, [{2: scored(metrics(0.4))}])
    new = renamed(near, "small_style", "style")
    rescore(near, new)
    open_study(load_study(new.folder / "study.toml"))


def test_a_rescored_study_can_go_on_and_be_rescored(three: StudyConfig) -> None:
    new = renamed(three, "small_style", "style")
    rescore(three, new)
    resolved = load_study(new.folder / "study.toml")
    assert resolved.scoring.preset == "style"
    open_study(resolved)
    back = rescore(resolved, renamed(resolved, "small_again", "balanced"))
    before = [t.value for t in load_existing(three).trials]
    assert [t.value for t in back.trials] == pytest.approx(before, abs=1e-6)


def test_rescoring_what_cannot_be(three: StudyConfig) -> None:
    new = renamed(three, "small_style", "style")
    rescore(three, new)
    with pytest.raises(StudyError, match=r"is there already; give another name with --name"):
        rescore(three, new)
    with pytest.raises(ConfigError, match=r'name must match pattern .* found "a b"'):
        renamed(three, "a b", "style")
    (three.folder / "anchors.json").unlink()
    with pytest.raises(StudyError, match=r"anchors\.json is missing or damaged"):
        rescore(three, renamed(three, "other", "style"))


def noted(config: StudyConfig, trial: int, body: str) -> None:
    """What somebody writes into a trial's note on the dashboard."""
    study = load_existing(config)
    of_trial = study.get_trials(deepcopy=False)[trial]._trial_id
    save_note_with_version(study._storage, study._study_id, of_trial, 1, body)


@pytest.mark.parametrize(
    ("line", "epoch", "why"),
    [
        ("pick: 2 the eyes, 眼睛", 2, "the eyes, 眼睛"),
        ("Pick: epoch 2, she looks right", 2, "she looks right"),
        ("pick:", 4, "picked on the dashboard"),
    ],
)
def test_a_pick_in_a_note_of_the_dashboard(
    three: StudyConfig, line: str, epoch: int, why: str
) -> None:
    # Longer than what the dashboard keeps in one piece.
    table = "| a table |\n" * 400
    noted(three, 0, f"# Objective 0.5\n{table}\n{line}\nand more\n")
    best = best_of(three)
    assert (best.number, best.epoch, best.chosen_by, best.why) == (0, epoch, "pick", why)


def test_a_pick_in_a_note_yields_to_that_of_the_command(three: StudyConfig) -> None:
    noted(three, 0, "pick: 2 the eyes")
    study = load_existing(three)
    keep_pick(study, picked(entry_of(study, three.folder, 2, 4), "the ears"))
    assert (best_of(three).number, best_of(three).why) == (2, "the ears")


def test_of_two_picks_in_notes_the_better_counts(three: StudyConfig) -> None:
    for trial in (0, 2):
        noted(three, trial, "pick: 2")
    assert (best_of(three).number, best_of(three).epoch) == (0, 2)


@pytest.mark.parametrize("note", ["pick: 3", "I would pick another one", "to pick one: `pick: 2`"])
def test_a_note_that_picks_nothing_leaves_the_search_its_best(
    three: StudyConfig, note: str, caplog: pytest.LogCaptureFixture
) -> None:
    noted(three, 0, note)
    assert (best_of(three).number, best_of(three).chosen_by) == (1, "search")
    asked_for_what_is_not_there = note == "pick: 3"
    assert ("picks epoch 3" in caplog.text) == asked_for_what_is_not_there
