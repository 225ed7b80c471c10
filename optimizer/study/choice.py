"""Which checkpoint of a study is its best: a person's pick, the finals' winner, the search's best.

A pick is given by `optimizer pick`, or in a trial's note on the dashboard. Picks and finals
are kept in the study itself, where other hosts see them, with all that is to be told of them.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial

from optimizer.study.entry import Entry, entries_of
from optimizer.study.notes import picks_in_notes
from optimizer.trial import attrs
from optimizer.trial.worth import worth

logger = logging.getLogger(__name__)

ChosenBy = Literal["search", "finals", "pick"]


@dataclass(frozen=True)
class Choice:
    """One checkpoint of a trial and what it was worth to those who chose it."""

    trial: int
    epoch: int
    checkpoint: str
    """Within the study's folder."""
    objective: float
    objective_se: float
    chosen_by: ChosenBy = "search"
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the database."""
        return asdict(self)


def choose(study: optuna.Study, feasible: Sequence[FrozenTrial], folder: Path) -> Choice:
    """What counts as best among one or more feasible trials, best first.

    Args:
        folder: the study's.
    """
    told = study.user_attrs
    if pick := told.get(attrs.PICK):
        return Choice(**pick)
    if noted := _noted(study, feasible, folder):
        return noted
    finals = told.get(attrs.FINALS)
    # A trial that came later and beat them all was in no finals: they say nothing of it.
    if finals and feasible[0].number in finals["trials"]:
        return Choice(**finals["winner"])
    return search_choice(feasible[0])


def _noted(study: optuna.Study, feasible: Sequence[FrozenTrial], folder: Path) -> Choice | None:
    """The pick in a trial's note; of several the one with the best score."""
    found = []
    for note in picks_in_notes(study, feasible):
        entries = {e.epoch: e for e in entries_of(note.trial, folder)}
        entry = entries.get(note.epoch)
        if entry is not None and (folder / entry.checkpoint).is_file():
            found.append(picked(entry, note.why))
        else:
            logger.warning(
                "the note of trial %d picks epoch %d, whose checkpoint is not there; it has: %s",
                note.trial.number,
                note.epoch,
                ", ".join(map(str, sorted(entries))),
            )
    return max(found, key=lambda choice: choice.objective, default=None)


def picked(entry: Entry, why: str) -> Choice:
    """A checkpoint as a person's choice."""
    return Choice(
        entry.trial,
        entry.epoch,
        entry.checkpoint,
        entry.objective,
        entry.objective_se,
        chosen_by="pick",
        why=why,
    )


def search_choice(trial: FrozenTrial) -> Choice:
    """A trial's own best checkpoint."""
    facts = trial.user_attrs
    return Choice(
        trial=trial.number,
        epoch=int(facts[attrs.EPOCH]),
        checkpoint=facts[attrs.CHECKPOINT],
        objective=float(worth(trial) or 0.0),
        objective_se=float(facts.get(attrs.STANDARD_ERROR, 0.0)),
    )


def keep_finals(study: optuna.Study, winner: Choice, trials: Sequence[int], agree: bool) -> None:
    """Note who won the finals, and which trials took part."""
    noted = {"winner": winner.as_dict(), "trials": sorted(set(trials)), "agree": agree}
    study.set_user_attr(attrs.FINALS, noted)


def finals_agree(study: optuna.Study) -> bool | None:
    """Whether finals chose what the search had chosen; None without finals."""
    finals = study.user_attrs.get(attrs.FINALS)
    return None if finals is None else bool(finals["agree"])


def keep_pick(study: optuna.Study, pick: Choice | None) -> None:
    """Note a person's choice, or take it back."""
    study.set_user_attr(attrs.PICK, None if pick is None else pick.as_dict())
