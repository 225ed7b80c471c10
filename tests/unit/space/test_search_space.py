"""What is suggested is what is trained, and what is enqueued fits."""

from typing import Any

import optuna
import pytest

from optimizer.config.space import SpaceConfig
from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError, InfeasibleError
from optimizer.space.fit import fit
from optimizer.space.search_space import SearchSpace, check_space

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
}


def space(*rules: str, **changed: Any) -> SearchSpace:
    constraints = tuple({"rule": rule, "reason": f"not {rule}"} for rule in rules)
    config = {"parameters": PARAMETERS | changed, "constraints": constraints}
    return SearchSpace(SpaceConfig.model_validate(config), Hyperparameters(seed=1))


def trials(wanted: SearchSpace, count: int = 30) -> list[tuple[optuna.Trial, Hyperparameters]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = [study.ask() for _ in range(count)]
    return [(trial, wanted.suggest(trial)) for trial in asked]


def test_alpha_is_the_share_that_optuna_stores() -> None:
    for trial, settings in trials(space()):
        share = trial.params["network_alpha_ratio"]
        assert settings.network_alpha == pytest.approx(share * settings.network_dim)
        assert "network_alpha" not in trial.params


def test_cycles_are_searched_only_with_restarts() -> None:
    for trial, settings in trials(space()):
        with_restarts = settings.lr_scheduler == "cosine_with_restarts"
        assert ("lr_scheduler_num_cycles" in trial.params) == with_restarts
        assert settings.lr_scheduler_num_cycles == trial.params.get("lr_scheduler_num_cycles", 1)


def test_stored_parameters_stand_for_what_was_trained() -> None:
    wanted = space()
    assert all(wanted.resolve(trial.params) == settings for trial, settings in trials(wanted))


def test_constraints_refuse_before_training_with_their_reason() -> None:
    wanted = space("network_dim < 64 or learning_rate <= 1e-9")
    study = optuna.create_study()
    study.enqueue_trial({"network_dim": 64})
    with pytest.raises(InfeasibleError, match="not network_dim < 64"):
        wanted.suggest(study.ask())


@pytest.mark.parametrize(
    "rule", ["network_dims < 3", "__import__('os')", "learning_rate <", "open('x')"]
)
def test_a_rule_that_cannot_be_evaluated_is_an_error(rule: str) -> None:
    with pytest.raises(ConfigError, match="cannot be evaluated"):
        check_space(space(rule), "space.toml")


def test_settings_that_contradict_each_other_are_refused() -> None:
    wanted = space(lr_scheduler={"type": "categorical", "choices": ("constant",)})
    wanted = SearchSpace(wanted.config, Hyperparameters(lr_warmup_ratio=0.1))
    with pytest.raises(InfeasibleError, match="constant has no warm-up"):
        wanted.suggest(optuna.create_study().ask())


def test_digest_changes_with_choices_and_fixed_settings_only() -> None:
    assert space().digest() == space().digest()
    other = {"type": "categorical", "choices": (32, 16, 64)}
    assert space(network_dim=other).digest() != space().digest()
    assert SearchSpace(space().config, Hyperparameters(seed=2)).digest() != space().digest()


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
