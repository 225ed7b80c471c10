"""Which checkpoint of a study is its best: a person's pick, the finals' winner, the search's best.

Picks and finals are kept in the study itself, where other hosts and the dashboard see them, each
with all that is to be told of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial

from optimizer.trial import attrs
from optimizer.trial.worth import worth

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


def choose(study: optuna.Study, feasible: Sequence[FrozenTrial]) -> Choice:
    """What counts as best among one or more feasible trials, best first."""
    told = study.user_attrs
    if pick := told.get(attrs.PICK):
        return Choice(**pick)
    finals = told.get(attrs.FINALS)
    # A trial that came later and beat them all was in no finals: they say nothing of it.
    if finals and feasible[0].number in finals["trials"]:
        return Choice(**finals["winner"])
    return search_choice(feasible[0])


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
