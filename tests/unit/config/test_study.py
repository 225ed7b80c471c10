"""Study files: read with the files they name, and refused with every problem at once."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError

Write = Callable[..., Path]
ROOT = Path(__file__).parents[3]


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_study(path)
    return [problem.replace(str(path.parent), "") for problem in refused.value.problems]


def test_a_study_knows_its_name_and_folder(write_study: Write, tmp_path: Path) -> None:
    config = load_study(write_study())
    assert (config.name, config.folder) == ("small", tmp_path / "runs" / "small")
    assert set(config.space.parameters) == {"learning_rate", "network_dim", "network_alpha"}
    assert config.dataset.datasets[0].subsets[0].image_dir == tmp_path / "images"


def test_paths_start_at_the_study_file_wherever_it_is_read_from(
    write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study()
    monkeypatch.chdir(tmp_path)
    config = load_study(Path("study.toml"))
    assert config.folder.resolve() == tmp_path / "runs" / "small"


def test_a_model_is_a_folder_beside_the_study_or_a_hub_id(write_study: Write) -> None:
    path = write_study()
    assert load_study(path).model.pretrained_model_name_or_path == "some/model"
    (path.parent / "some" / "model").mkdir(parents=True)
    local = load_study(path).model.pretrained_model_name_or_path
    assert local == str(path.parent / "some" / "model")


def test_a_missing_model_file_stays_a_path(write_study: Write) -> None:
    path = write_study(model='vae = "weights/vae.safetensors"\nconfig = "./configs"')
    model = load_study(path).model
    assert model.vae == str(path.parent / "weights" / "vae.safetensors")
    assert model.config == str(path.parent / "configs")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"training": "learning_rate = 0"},
            "training.learning_rate must be greater than 0.0, found 0",
        ),
        (
            {"training": "learing_rate = 1e-4"},
            "training.learing_rate is not a known key; did you mean learning_rate?",
        ),
        ({"n_trials": 0}, "study.n_trials must be at least 1, found 0"),
        ({"n_trials": '"ten"'}, 'study.n_trials must be an integer, found "ten"'),
        ({"n_trials": "true"}, "study.n_trials must be an integer, found true"),
        ({"study": "hold_out = -1"}, "study.hold_out must be at least 0, found -1"),
        ({"study": "storage = 3"}, "study.storage must be text in quotes, found 3"),
        (
            {"sampler": "gpp"},
            "study.sampler must be one of 'auto', 'gp', 'tpe', 'random', 'qmc', 'cmaes' or "
            "'nsga2', found \"gpp\"; did you mean gp?",
        ),
        (
            {"family": "sd1.5"},
            "model.family must be one of 'sd15' or 'sdxl', found \"sd1.5\"; did you mean sd15?",
        ),
        (
            {"model": 'vae = ""'},
            'model.vae must be a folder, a file or a hub id in quotes, found ""',
        ),
        ({"dataset": "x = 1"}, "x is not a known key; known keys are datasets, general"),
    ],
)
def test_a_mistake_is_told_with_file_and_key(
    changes: dict[str, object], problem: str, write_study: Write
) -> None:
    (found,) = problems(write_study(**changes))
    assert found.startswith(f"/study.toml: {problem}")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words"])
def test_a_name_that_is_no_folders_name_is_refused(name: str, write_study: Write) -> None:
    path = write_study()
    path.write_text(path.read_text().replace('"small"', f'"{name}"'))
    (found,) = problems(path)
    assert found.startswith("/study.toml: study.name must ")


def test_missing_tables_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("")
    assert problems(tmp_path / "study.toml") == [
        f"/study.toml: {name} is missing" for name in ("study", "model", "dataset", "scoring")
    ]


def test_a_missing_study_file_is_told_once(tmp_path: Path) -> None:
    assert problems(tmp_path / "study.toml") == ["/study.toml: no such file"]


def test_problems_of_all_files_are_told_together(write_study: Write) -> None:
    path = write_study(
        training='learning_rate = 0\nlr_scheduler = "cosin"',
        sampler="best",
        space='[parameters.network_dims]\ntype = "int"\nlow = 1\nhigh = 2',
    )
    found = problems(path)
    assert [problem.partition(" must")[0] for problem in found[:3]] == [
        "/study.toml: study.sampler",
        "/study.toml: training.learning_rate",
        "/study.toml: training.lr_scheduler",
    ]
    assert found[3].startswith("/space.toml: ")
    assert "did you mean network_dim?" in found[3]


def test_a_missing_space_and_a_bad_dataset_are_told_together(write_study: Write) -> None:
    path = write_study(dataset="x = 1")
    (path.parent / "space.toml").unlink()
    assert [problem.split(" is ")[0] for problem in problems(path)] == [
        "/space.toml: no such file",
        "/study.toml: x",
    ]


def test_a_setting_both_fixed_and_searched_is_refused(write_study: Write) -> None:
    found = problems(write_study(training="network_dim = 8\nlearning_rate = 1e-4\nseed = 1"))
    assert [problem.split(" is ")[0] for problem in found] == [
        "/study.toml: training.learning_rate",
        "/study.toml: training.network_dim",
    ]
    assert all(
        problem.endswith("but searched in /space.toml; remove one of the two") for problem in found
    )


def test_pictures_are_drawn_with_the_clip_skip_that_was_trained(write_study: Write) -> None:
    (found,) = problems(write_study(family="sd15", training="clip_skip = 2"))
    assert "scoring.clip_skip must be what training.clip_skip is (2), found None" in found
    assert load_study(write_study(family="sd15", training="clip_skip = 2", scoring="clip_skip = 2"))


def test_a_value_in_place_of_a_table_is_told_like_any_mistake(write_study: Write) -> None:
    path = write_study()
    path.write_text(path.read_text().replace("[study]", "study = 3\n[unused]"))
    assert "/study.toml: study must be a table, found 3" in problems(path)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_demo_studies_name_the_folders_that_the_demo_makes(family: str) -> None:
    config = load_study(ROOT / "studies" / f"demo_{family}.toml")
    assert config.model.family == family
    table = tomllib.loads(config.path.read_text())
    assert table["model"]["pretrained_model_name_or_path"].startswith("../data/demo/models")
    assert (ROOT / "optimizer" / "demo" / "weights" / family).is_dir()
    assert config.dataset.datasets[0].subsets[0].image_dir == ROOT / "data" / "demo" / "images"
    assert config.scoring.reference_dir == ROOT / "data" / "demo" / "references"


def test_a_password_in_a_study_file_is_refused_without_telling_it(
    make_study: Callable[..., StudyConfig],
) -> None:
    with pytest.raises(ConfigError, match=r"storage must hold no password.*env:NAME") as refused:
        make_study(storage="postgresql://me:sesame@host/db")
    assert "sesame" not in str(refused.value)
