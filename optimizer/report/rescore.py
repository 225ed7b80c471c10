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
from optimizer.trial.worth import worth


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
    """Trials in their new order."""
    presets = (config.scoring.preset, new.scoring.preset)
    table = Table("trial", *presets, "rank before", "rank now", "epoch", title=new.name)
    old = {t.number: (rank, worth(t)) for rank, t in enumerate(feasible_trials(before), start=1)}
    for rank, trial in enumerate(feasible_trials(after), start=1):
        old_rank, old_value = old[trial.user_attrs[attrs.RESCORED_FROM]]
        table.add_row(
            str(trial.number),
            f"{old_value:.3f}",
            f"{worth(trial):.3f}",
            str(old_rank),
            str(rank),
            str(trial.user_attrs[attrs.EPOCH]),
        )
    console.print(table)
