"""The report at every stage of a study's life."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from optuna.trial import create_trial
from PIL import Image

from optimizer.config.study import StudyConfig
from optimizer.errors import StudyError
from optimizer.files import write_json
from optimizer.report.page import write_markdown, write_page
from optimizer.study.best_params import read_best_params
from optimizer.study.choice import Choice, keep_pick
from optimizer.study.open import load_existing
from optimizer.study.transfer import transfer

Make = Callable[..., StudyConfig]
RunTold = Callable[..., object]


class Tags(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def attributes(self, tag: str, name: str) -> list[str | None]:
        return [attrs.get(name) for found, attrs in self.found if found == tag]


def page(config: StudyConfig) -> str:
    return write_page(config, None).read_text(encoding="utf-8")


def test_without_a_study_there_is_nothing_to_write(make_study: Make) -> None:
    with pytest.raises(StudyError, match="optimizer run"):
        write_page(make_study(), None)


def test_nothing_is_loaded_from_anywhere(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.2, 0.7, 0.6])
    text = page(config)
    tags = Tags(text)
    sources = [*tags.attributes("img", "src"), *tags.attributes("link", "href")]
    assert sources and all(source and source.startswith("data:") for source in sources)
    assert not tags.attributes("script", "src") or tags.attributes("script", "src") == [None]
    assert "url(" not in text and "@import" not in text


def test_pictures_say_what_they_show(make_study: Make, run_told: RunTold) -> None:
    config = make_study(scoring="num_images_per_prompt = 4")
    run_told(config, [0.2, 0.7])
    alts = Tags(page(config)).attributes("img", "alt")
    assert alts[0] == "sdxl best: mivo monster, picture 1 of 4"
    assert alts[1] == "second best: mivo monster, picture 1 of 4"
    assert all(alts)


def test_best_settings_are_those_of_the_best_trial(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.2, 0.7, 0.6])
    values, _ = read_best_params(config.folder / "best_params.json")
    text = page(config)
    assert f"learning_rate = {values['learning_rate']}" in text
    assert "optimizer train" in text and "best_params.json" in text
    assert "0.68 to 0.72" in text


def test_a_lead_within_the_noise_is_no_lead(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.70, 0.71])
    assert "cannot be told apart" in page(config)


def test_one_trial_leads_nobody(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    text = page(config)
    assert "lead over the second" not in text
    assert "second best" not in text
    assert "Too few scored trials" in text


def test_all_failed(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, ["RuntimeError"] * 3)
    text = page(config)
    assert "No trial gave a usable LoRA" in text
    assert "it was &lt;RuntimeError&gt;" in text
    assert "<svg" not in text


def test_no_trial_yet(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, ["interrupted"])
    study = load_existing(config)
    assert len(study.trials) == 2
    text = page(config)
    assert "1 waiting" in text


def test_infeasible_trials_are_no_winners(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, ["bad_pictures", 0.3])
    text = page(config)
    assert "trial 0: bad_pictures" in text
    assert '<span class="big">1</span>' in text


def test_words_of_the_user_are_shown_as_they_are(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    prompts = ("{trigger} <b>怪物</b> モンスター",)
    config = config.model_copy(
        update={"scoring": config.scoring.model_copy(update={"prompts": prompts})}
    )
    run_told(config, [0.5])
    text = page(config)
    assert "mivo &lt;b&gt;怪物&lt;/b&gt; モンスター" in text


def test_many_large_pictures_stay_below_the_limit(
    make_study: Make, run_told: RunTold, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_study()
    run_told(config, [0.5])
    for path in config.folder.glob("trial_0000/samples/*/*.png"):
        Image.effect_noise((512, 512), 120).convert("RGB").save(path)
    large = len(page(config))
    monkeypatch.setattr("optimizer.report.page.MOST_BYTES", large - 1)
    assert len(page(config)) < large


def test_transfer_is_told(make_study: Make, run_told: RunTold) -> None:
    source = sd15_study(make_study)
    carried = carry(source, run_told)
    config = make_study()
    write_json(config.folder / "transfer.json", carried.as_dict())
    run_told(config, [0.5, 0.9, 0.4], seeds=carried.seeds)
    text = page(config)
    assert "From sd15 to sdxl" in text
    assert "The optimum moved: the best learning rate is 0.33 times" in text
    assert "Taken over unchanged it scored 0.400 less (trial 0), more than the noise" in text
    assert "sd15 best: mivo monster" in text


def test_the_source_tells_no_story_of_where_its_best_goes(
    make_study: Make, run_told: RunTold
) -> None:
    source = sd15_study(make_study)
    carried = carry(source, run_told)
    write_json(source.folder / "transfer.json", carried.as_dict())
    assert "From sd15" not in page(source)


def sd15_study(make_study: Make) -> StudyConfig:
    config = make_study(family="sd15")
    return config.model_copy(update={"study": config.study.model_copy(update={"name": "source"})})


def carry(source: StudyConfig, run_told: RunTold):  # type: ignore[no-untyped-def]
    run_told(source, [0.6, 0.5], seeds=[{"learning_rate": 1.23456789e-3, "network_dim": 8}])
    values, provenance = read_best_params(source.folder / "best_params.json")
    return transfer(values, "sdxl", provenance)


def test_markdown_stands_beside_its_pictures(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.2, 0.7, "bad_pictures"])
    path = write_markdown(config, None)
    text = path.read_text(encoding="utf-8")
    assert path.name == "README.md"
    for name in ("pictures.png", "history.svg", "learning_rate.svg"):
        assert f"README_files/{name}" in text
        assert (path.parent / "README_files" / name).stat().st_size > 0
    assert "| bad_pictures | 1 | 2 | it was <bad_pictures> |" in text
    assert Path(path.parent / "README_files" / "history.svg").read_text().startswith("<svg")


def test_an_optimum_that_held(make_study: Make, run_told: RunTold) -> None:
    carried = carry(sd15_study(make_study), run_told)
    config = make_study()
    write_json(config.folder / "transfer.json", carried.as_dict())
    run_told(config, [0.9, 0.5, 0.4], seeds=carried.seeds)
    assert "held: the best one is 1.00 times it. The unchanged settings are the" in page(config)


def test_the_pictures_of_the_final_run(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    final = config.folder / "final"
    scores = {"small.safetensors": {"objective": 0.6, "objective_se": 0.01}}
    done = {"best_checkpoint": "small.safetensors", "scores": scores}
    write_json(final / "final.json", done)
    assert 'class="sheet"' not in page(config)
    Image.new("RGB", (900, 400), (90, 90, 200)).save(final / "small.png")
    assert "contact sheet of the final LoRA" in str(Tags(page(config)).attributes("img", "alt"))
    path = write_markdown(config, None)
    assert "README_files/final.png" in path.read_text(encoding="utf-8")
    assert (path.parent / "README_files" / "final.png").is_file()


def test_what_early_stops_saved(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5])
    assert "Ending hopeless" not in page(config)
    facts = {"planned_epochs": 10, "trained_epochs": 4}
    load_existing(config).add_trial(create_trial(value=0.1, user_attrs=facts))
    assert "Ending hopeless trials early saved 6 of 10 epochs (60%)." in page(config)
    assert "saved 6 of 10 epochs" in write_markdown(config, None).read_text(encoding="utf-8")


def test_a_pick_is_what_the_page_shows(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    run_told(config, [0.5, 0.9])
    study = load_existing(config)
    lora = "trial_0000/checkpoints/small-000002.safetensors"
    keep_pick(study, Choice(0, 2, lora, 0.25, 0.01, "pick", "the others lose the hat"))
    text = page(config)
    assert "Chosen by hand: the others lose the hat." in text
    assert str(config.folder / lora) in text
    assert "trial 0, epoch 2, objective 0.250" in text
    alts = Tags(text).attributes("img", "alt")
    assert alts[1] == "best of the search: mivo monster"
    values = study.trials[0].user_attrs["effective_params"]
    assert f"learning_rate = {values['learning_rate']}" in text
