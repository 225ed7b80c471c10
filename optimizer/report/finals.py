"""`optimizer finals`, and the end of `optimizer run`: the best checkpoints scored again."""

from collections.abc import Callable
from typing import Any

from rich.table import Table

from optimizer.config.study import StudyConfig
from optimizer.logs import log_to
from optimizer.models.device import device_held
from optimizer.report.evaluation import score_file, sheet_rows
from optimizer.report.tables import console
from optimizer.scoring.scorer import Scored
from optimizer.scoring.sheet import write_sheet
from optimizer.study.announce import write_best
from optimizer.study.checkpoints import entries
from optimizer.study.choice import keep_finals
from optimizer.study.entry import Entry
from optimizer.study.finals import FILE, Finals, held_before, hold, write_finals
from optimizer.study.open import load_existing
from optimizer.study.results import best_trial
from optimizer.study.signals import interruptible
from optimizer.study.turns import sole_runner
from optimizer.trial.workbench import open_scorer


def run_finals(config: StudyConfig) -> None:
    """Hold a study's finals, unless these very ones were held before or there is nothing to ask.

    Raises:
        InputError: models, pictures or the study cannot be used.
    """
    study = load_existing(config)
    found = entries(study, config.folder, config.scoring.finals.top)
    if len(found) < 2:
        console.print("no finals: they take two checkpoints or more")
        return
    asked = _asked(config, found)
    if held_before(config.folder / FILE, asked):
        console.print(f"finals held before: {config.folder / FILE}", soft_wrap=True)
        return
    with (
        sole_runner(config),
        interruptible(),
        device_held(f"finals of study {config.name}"),
        log_to(config.folder / "optimization.log"),
    ):
        finals = hold(found, _judge(config))
        write_finals(config.folder / FILE, finals, asked)
        keep_finals(study, finals.choice(), [entry.trial for entry in found], finals.agree)
    best = best_trial(study, config.folder)
    if best is not None:
        write_best(config, study, best)
    print_finals(finals)


def _asked(config: StudyConfig, found: list[Entry]) -> dict[str, Any]:
    return {
        "checkpoints": [entry.sha256 for entry in found],
        "scoring": config.scoring.model_dump(mode="json", include={"finals", "preset"}),
    }


def _judge(config: StudyConfig) -> Callable[[Entry], Scored]:
    """Scores entries with fresh seeds, a contact sheet each; the base model is loaded here."""
    scorer = open_scorer(config).redrawn(config.scoring.finals.times)
    asked = config.model_copy(update={"scoring": scorer.config})
    # Drawn now, while nothing is on the model yet.
    _ = scorer.anchors

    def score(entry: Entry) -> Scored:
        scored = score_file(scorer, config.folder / entry.checkpoint)
        name = f"trial {entry.trial} epoch {entry.epoch}"
        sheet = config.folder / "finals" / f"{name.replace(' ', '_')}.png"
        write_sheet(sheet, name, sheet_rows(scored, asked))
        console.print(f"{name}: {scored.scores.objective:.3f}")
        return scored

    return score


def print_finals(finals: Finals) -> None:
    """A finalist a line, and the verdict."""
    table = Table("trial", "epoch", "search", "rank", "finals", "rank", "behind the winner")
    for f in finals.finalists:
        behind = f"{f.behind.difference:+.3f} ({f.behind.low:+.3f} to {f.behind.high:+.3f})"
        table.add_row(
            str(f.entry.trial),
            str(f.entry.epoch),
            f"{f.entry.objective:.3f} ± {f.entry.objective_se:.3f}",
            str(f.search_rank),
            f"{f.objective:.3f} ± {f.objective_se:.3f}",
            str(f.rank),
            "" if f.rank == 1 else behind,
        )
    table.title, table.title_justify = f"finals, {finals.pictures} fresh pictures each", "left"
    console.print(table)
    console.print(finals.sentence(), soft_wrap=True, highlight=False)
