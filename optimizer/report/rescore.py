"""`optimizer rescore`: how another preset would have ranked a study's trials."""

import optuna
from rich.table import Table

from optimizer.config.scoring import Preset
from optimizer.config.study import StudyConfig
from optimizer.report.tables import console, print_best
from optimizer.study.open import load_existing
from optimizer.study.rescore import renamed, rescore
from optimizer.study.results import best_trial, feasible_trials
from optimizer.trial import attrs


def rescore_with_view(config: StudyConfig, preset: Preset, name: str | None) -> None:
    """Make the new study and show the order before and after; see `rescore` for what is raised."""
    new = renamed(config, name or f"{config.name}_{preset}", preset)
    before, after = load_existing(config), rescore(config, new)
    _print(config, new, before, after)
    if best := best_trial(after, new.folder):
        print_best(new, best)
    console.print(f"go on with: optimizer run {new.folder / 'study.toml'}", soft_wrap=True)


def _print(
    config: StudyConfig, new: StudyConfig, before: optuna.Study, after: optuna.Study
) -> None:
    """Trials in their new order; both studies list the same settings."""
    presets = (config.scoring.preset, new.scoring.preset)
    table = Table("trial", *presets, "rank before", "rank now", "epoch", title=new.name)
    old = {str(t.user_attrs[attrs.EFFECTIVE]): n for n, t in enumerate(feasible_trials(before), 1)}
    values = {str(t.user_attrs[attrs.EFFECTIVE]): t.value for t in feasible_trials(before)}
    for rank, trial in enumerate(feasible_trials(after), start=1):
        key = str(trial.user_attrs[attrs.EFFECTIVE])
        table.add_row(
            str(trial.number),
            f"{values[key]:.3f}",
            f"{trial.value:.3f}",
            str(old[key]),
            str(rank),
            str(trial.user_attrs[attrs.EPOCH]),
        )
    console.print(table)
