"""What is suggested is what is trained, and what no training takes is refused before."""

from typing import Any

import optuna
import pytest

from optimizer.config.space import SpaceConfig
from optimizer.config.training import Hyperparameters
from optimizer.errors import ConfigError, InfeasibleError
from optimizer.space.check import check_space
from optimizer.space.search_space import SearchSpace, distribution_of

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


def test_order_in_the_file_does_not_matter() -> None:
    """A share is taken of the value drawn, also where that stands further down."""
    turned = dict(reversed(PARAMETERS.items()))
    wanted = SearchSpace(SpaceConfig.model_validate({"parameters": turned}), Hyperparameters())
    for trial, settings in trials(wanted, 10):
        share = trial.params["network_alpha_ratio"]
        assert settings.network_alpha == pytest.approx(share * settings.network_dim)
        with_restarts = settings.lr_scheduler == "cosine_with_restarts"
        assert ("lr_scheduler_num_cycles" in trial.params) == with_restarts


def test_parameters_in_a_circle_are_refused() -> None:
    circle = space(network_dim={"type": "int", "low": 1, "high": 2, "ratio_of": "network_alpha"})
    with pytest.raises(ConfigError, match="refer to each other: network_dim -> network_alpha"):
        check_space(circle, "space.toml")


def test_every_value_that_no_training_takes_is_told_before_the_first_trial() -> None:
    bad = space(
        learning_rate={"type": "float", "low": 0.0, "high": 1e-3},
        lr_scheduler={"type": "categorical", "choices": ("cosine", "cosin")},
        network_dim={"type": "float", "low": 4.0, "high": 8.5},
        network_alpha={"type": "float", "ratio_of": "lr_scheduler", "low": 0.5, "high": 1.0},
    )
    with pytest.raises(ConfigError) as refused:
        check_space(bad, "space.toml")
    assert [problem.partition(", found")[0] for problem in refused.value.problems] == [
        "space.toml: parameters.learning_rate must be greater than 0.0",
        "space.toml: parameters.network_dim must be an integer",
        "space.toml: parameters.network_dim must be an integer",
        "space.toml: parameters.network_alpha.ratio_of must name a number, "
        "and lr_scheduler is none here",
        "space.toml: parameters.lr_scheduler must be one of 'constant', 'constant_with_warmup', "
        "'linear', 'cosine', 'cosine_with_restarts' or 'polynomial'",
    ]


def test_rules_are_tried_with_values_of_the_space() -> None:
    """Not with the defaults: min_snr_gamma is None where it is not searched."""
    gamma = {"type": "float", "low": 1.0, "high": 9.0}
    check_space(space("min_snr_gamma < 8", min_snr_gamma=gamma), "space.toml")
    with pytest.raises(ConfigError, match="cannot be evaluated"):
        check_space(space("min_snr_gamma < 8"), "space.toml")


def test_all_broken_rules_are_told_together() -> None:
    with pytest.raises(ConfigError) as refused:
        check_space(space("a < 1", "network_dim < 99", "b < 1"), "space.toml")
    assert [problem[:29] for problem in refused.value.problems] == [
        "space.toml: constraint 'a < 1",
        "space.toml: constraint 'b < 1",
    ]


def test_every_broken_constraint_is_given_as_a_reason() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"network_dim": 64, "network_alpha_ratio": 1.0})
    with pytest.raises(InfeasibleError, match="not network_dim < 64; not network_alpha < 64"):
        space("network_dim < 64", "network_alpha < 64").suggest(study.ask())


def test_constraints_see_fixed_settings_and_simple_functions() -> None:
    wanted = space("seed == 1 and max(network_dim, 8) == network_dim and abs(-1) == 1")
    assert len(trials(wanted, 3)) == 3


def test_alpha_is_as_round_as_people_write_it() -> None:
    wanted = space(network_dim={"type": "categorical", "choices": (64,)})
    drawn = {"network_dim": 64, "network_alpha_ratio": 0.35, "learning_rate": 1e-4}
    assert wanted.resolve(drawn | {"lr_scheduler": "cosine"}).network_alpha == 22.4


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_distributions_hold_what_is_suggested(name: str) -> None:
    """One description of a range for suggesting, and for reading a finished study."""
    parameter = space().config.parameters[name]
    for trial, _ in trials(space(), 5):
        for stored in (name, f"{name}_ratio"):
            if stored in trial.params:
                distribution = distribution_of(parameter)
                assert trial.distributions[stored] == distribution


def test_a_conditional_space_knows_that_it_is_one() -> None:
    assert space().is_conditional
    plain = {name: PARAMETERS[name] for name in ("learning_rate", "network_dim")}
    assert not SearchSpace(
        SpaceConfig.model_validate({"parameters": plain}), Hyperparameters()
    ).is_conditional


@pytest.mark.parametrize(
    "change",
    [
        {"network_dim": {"type": "categorical", "choices": (16, 32)}},
        {"learning_rate": {"type": "float", "low": 1e-5, "high": 2e-3, "log": True}},
        {"learning_rate": {"type": "float", "low": 1e-5, "high": 1e-3}},
        {"seed": {"type": "int", "low": 1, "high": 2}},
        {"network_alpha": {"type": "float", "low": 0.25, "high": 1.0, "step": 0.25}},
    ],
)
def test_digest_changes_with_every_range(change: dict[str, Any]) -> None:
    assert space(**change).digest() != space().digest()
