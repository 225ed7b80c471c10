"""What is enqueued fits the search space, and what does not fit is said."""

from typing import Any

import optuna
import pytest

from optimizer.config.space import SpaceConfig
from optimizer.config.training import Hyperparameters
from optimizer.space.fit import fit
from optimizer.space.search_space import SearchSpace

PARAMETERS: dict[str, dict[str, Any]] = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-3, "log": True},
    "network_dim": {"type": "categorical", "choices": (16, 32, 64)},
    "network_alpha": {
        "type": "float",
        "ratio_of": "network_dim",
        "low": 0.25,
        "high": 1.0,
        "step": 0.25,
    },
    "lr_scheduler": {"type": "categorical", "choices": ("cosine", "cosine_with_restarts")},
    "lr_scheduler_num_cycles": {
        "type": "int",
        "low": 2,
        "high": 4,
        "when": {"lr_scheduler": ("cosine_with_restarts",)},
    },
    "lr_warmup_steps": {"type": "int", "low": 100, "high": 200, "step": 50},
}


def space(**changed: Any) -> SearchSpace:
    config = SpaceConfig.model_validate({"parameters": PARAMETERS | changed})
    return SearchSpace(config, Hyperparameters(seed=1))


def test_values_that_fit_are_taken_as_they_are() -> None:
    fitted = fit({"learning_rate": 1e-4, "network_dim": 32, "network_alpha": 16.0}, space())
    assert fitted.params == {
        "learning_rate": 1e-4,
        "network_dim": 32,
        "network_alpha_ratio": 0.5,
    }
    assert not fitted.notes


def test_values_outside_are_moved_and_said() -> None:
    fitted = fit({"learning_rate": 0.5, "network_dim": 100, "lr_scheduler": "linear"}, space())
    assert fitted.params == {"learning_rate": 1e-3, "network_dim": 64}
    assert set(fitted.notes) == {"learning_rate", "network_dim", "lr_scheduler"}


def test_alpha_keeps_its_ratio_when_the_dim_is_moved() -> None:
    fitted = fit({"network_dim": 128, "network_alpha": 64.0}, space())
    assert fitted.params == {"network_dim": 64, "network_alpha_ratio": 0.5}


def test_what_the_study_fixes_is_said() -> None:
    assert fit({"seed": 7}, space()).notes == {"seed": "fixed at 1 in this study"}


def test_inactive_parameters_are_left_out() -> None:
    values = {"lr_scheduler": "cosine", "lr_scheduler_num_cycles": 3}
    assert "lr_scheduler_num_cycles" not in fit(values, space()).params


@pytest.mark.parametrize(
    ("given", "taken"), [(1, 100), (100, 100), (124, 100), (130, 150), (999, 200), (149.6, 150)]
)
def test_integers_are_moved_to_the_nearest_step(given: float, taken: int) -> None:
    fitted = fit({"lr_warmup_steps": given}, space()).params["lr_warmup_steps"]
    assert (fitted, type(fitted)) == (taken, int)


@pytest.mark.parametrize(("given", "taken"), [(1, 16), (22, 16), (23, 32), (46, 64), (10**6, 64)])
def test_the_nearest_choice_is_nearest_by_factor(given: int, taken: int) -> None:
    """Between 16 and 32 lies 22.6, not 24."""
    fitted = fit({"network_dim": given}, space())
    assert fitted.params == {"network_dim": taken}
    assert fitted.notes == {"network_dim": f"{given} is outside of the space; {taken} taken"}


def test_a_choice_is_taken_as_the_space_writes_it() -> None:
    """Optuna hands an enqueued value over as it came, and 32.0 is no network_dim."""
    study = optuna.create_study()
    study.enqueue_trial(fit({"network_dim": 32.0}, space()).params)
    assert space().suggest(study.ask()).network_dim == 32


@pytest.mark.parametrize(
    ("share", "taken"), [(0.01, 0.25), (0.3, 0.25), (0.4, 0.5), (0.75, 0.75), (4, 1.0)]
)
def test_shares_are_clamped_and_snapped(share: float, taken: float) -> None:
    fitted = fit({"network_dim": 32, "network_alpha": 32 * share}, space())
    assert fitted.params["network_alpha_ratio"] == taken
    assert ("network_alpha" in fitted.notes) == (share != taken)


def test_a_share_means_nothing_without_what_it_is_a_share_of() -> None:
    fitted = fit({"network_alpha": 16.0}, space())
    assert fitted.params == {}
    assert fitted.notes == {
        "network_alpha": "means nothing without network_dim; left to the sampler"
    }


def test_a_share_of_a_fixed_setting_is_taken_of_that() -> None:
    alpha = SpaceConfig.model_validate(
        {"parameters": {"network_alpha": PARAMETERS["network_alpha"]}}
    )
    fitted = fit({"network_alpha": 16.0}, SearchSpace(alpha, Hyperparameters(network_dim=64)))
    assert fitted.params == {"network_alpha_ratio": 0.25}


@pytest.mark.parametrize("value", ["3e-4", None, True, float("nan"), float("inf")])
def test_what_is_no_number_is_left_to_the_sampler(value: object) -> None:
    values = dict.fromkeys(("learning_rate", "lr_warmup_steps", "network_alpha"), value)
    fitted = fit(values | {"network_dim": 32}, space())
    assert fitted.params == {"network_dim": 32}
    assert fitted.notes == dict.fromkeys(values, f"{value!r} is no number; left to the sampler")


@pytest.mark.parametrize("value", ["32", None, 0, -3, True, float("nan")])
def test_what_is_near_no_choice_is_left_to_the_sampler(value: object) -> None:
    fitted = fit({"network_dim": value}, space())
    assert fitted.params == {}
    assert fitted.notes == {
        "network_dim": f"{value!r} is not among the choices; left to the sampler"
    }


def test_unknown_names_and_settings_that_agree_are_passed_over() -> None:
    fitted = fit({"face_score": 1, "seed": 1, "lr_scheduler": "cosine"}, space())
    assert fitted.params == {"lr_scheduler": "cosine"}
    assert not fitted.notes


def test_fitting_again_changes_nothing() -> None:
    given = {"learning_rate": 5.0, "network_dim": 100, "network_alpha": 80.0}
    once = space().resolve(fit(given, space()).params | FIXED)
    twice = fit(once.model_dump(include=set(given)), space())
    assert not twice.notes
    assert space().resolve(twice.params | FIXED) == once


FIXED = {"lr_scheduler": "cosine", "lr_warmup_steps": 100}


def test_what_is_enqueued_is_what_is_trained() -> None:
    given = {
        "learning_rate": 7.1e-5,
        "network_dim": 64,
        "network_alpha": 48.0,
        "lr_scheduler": "cosine_with_restarts",
        "lr_scheduler_num_cycles": 3,
        "lr_warmup_steps": 150,
    }
    study = optuna.create_study()
    study.enqueue_trial(fit(given, space()).params)
    assert space().suggest(study.ask()).model_dump(include=set(given)) == given
