"""Every TOML file that ships loads, and the studies' files read back as they were run."""

from pathlib import Path

import pytest

from optimizer.config.resolved import write_resolved
from optimizer.config.space import CategoricalParameter, FloatParameter, load_space
from optimizer.config.study import load_study
from optimizer.errors import ConfigError
from optimizer.study.open import space_of

ROOT = Path(__file__).parents[3]
STUDIES = sorted((ROOT / "studies").glob("*.toml"))
SPACES = sorted((ROOT / "search_spaces").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_loads_and_its_rules_can_be_evaluated(path: Path) -> None:
    config = load_study(path)
    assert config.name == path.stem
    assert space_of(config).config.parameters


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_space_loads(path: Path) -> None:
    assert load_space(path).parameters


def test_sd15_space_has_the_origins_ranges() -> None:
    parameters = load_space(ROOT / "search_spaces" / "sd15_character.toml").parameters
    rate, dim, alpha = (parameters[n] for n in ("learning_rate", "network_dim", "network_alpha"))
    assert isinstance(rate, FloatParameter)
    assert (rate.low, rate.high, rate.log) == (6e-5, 1.2e-4, True)
    assert isinstance(dim, CategoricalParameter)
    assert dim.choices == (64, 128, 256)
    assert isinstance(alpha, FloatParameter)
    assert (alpha.low, alpha.high, alpha.step, alpha.ratio_of) == (0.25, 0.9, 0.05, "network_dim")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_resolved_study_reads_back_the_same(path: Path, tmp_path: Path) -> None:
    config = load_study(path)
    study = config.study.model_copy(update={"output_dir": tmp_path})
    config = config.model_copy(update={"study": study})
    write_resolved(config)
    again = load_study(config.folder / "study.toml")
    assert again.space == config.space
    assert space_of(again).digest() == space_of(config).digest()
    assert again.training.model_dump() == config.training.model_dump()
    assert again.model.family == config.model.family
    assert [d.resolution for d in again.dataset.datasets] == [
        d.resolution for d in config.dataset.datasets
    ]


def test_a_setting_both_fixed_and_searched_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "studies" / "demo_sdxl.toml").read_text()
    text = text.replace("../search_spaces", str(ROOT / "search_spaces"))
    path = tmp_path / "study.toml"
    path.write_text(text.replace("[training]", "[training]\nnetwork_dim = 8"))
    with pytest.raises(ConfigError, match=r"training\.network_dim is fixed here but searched in"):
        load_study(path)
