"""Finals: the best checkpoints of a search, scored again on fresh seeds with more pictures.

The best of many noisy scores is partly lucky. Drawn again, luck is left behind.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optimizer.files import write_json
from optimizer.scoring.compare import Difference, differences
from optimizer.scoring.scorer import Scored
from optimizer.study.choice import Choice
from optimizer.study.entry import Entry

FILE = "finals.json"


@dataclass(frozen=True)
class Finalist:
    """A checkpoint as the finals scored it. Ranks begin with 1."""

    entry: Entry
    search_rank: int
    rank: int
    objective: float
    objective_se: float
    behind: Difference
    """This one minus the winner, over the same prompts and seeds."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for finals.json."""
        e = self.entry
        return {
            "trial": e.trial,
            "epoch": e.epoch,
            "checkpoint": e.checkpoint,
            "sha256": e.sha256,
            "search": {"rank": self.search_rank, "objective": e.objective, "se": e.objective_se},
            "finals": {"rank": self.rank, "objective": self.objective, "se": self.objective_se},
            "behind_winner": asdict(self.behind) | {"is_clear": self.behind.is_clear},
        }


@dataclass(frozen=True)
class Finals:
    """Finalists, winner first."""

    finalists: tuple[Finalist, ...]
    pictures: int
    """With the trigger, per finalist."""

    @property
    def agree(self) -> bool:
        """Whether the search's best checkpoint won."""
        return self.finalists[0].search_rank == 1

    def choice(self) -> Choice:
        """The winner, as the study's best."""
        won, entry = self.finalists[0], self.finalists[0].entry
        return Choice(
            entry.trial,
            entry.epoch,
            entry.checkpoint,
            won.objective,
            won.objective_se,
            chosen_by="finals",
            why=self.sentence(),
        )

    def sentence(self) -> str:
        """Who won, by how much beyond noise, and what became of the search's best."""
        won, second = self.finalists[:2]
        margin = second.behind
        said = (
            f"trial {won.entry.trial} at epoch {won.entry.epoch} won the finals of "
            f"{len(self.finalists)} with {won.objective:.3f} ± {won.objective_se:.3f}, "
            f"{-margin.difference:.3f} ahead of the next "
            f"(95 % interval {-margin.high:+.3f} to {-margin.low:+.3f}"
        )
        said += ")" if margin.is_clear else ": within noise)"
        rank = next(f.rank for f in self.finalists if f.search_rank == 1)
        return said + (
            "; the search agrees" if rank == 1 else f"; the search's best comes number {rank}"
        )


def hold(found: Sequence[Entry], score: Callable[[Entry], Scored]) -> Finals:
    """Score two or more entries again, best of the search first, over the same pictures."""
    scored = [score(entry) for entry in found]
    order = sorted(range(len(found)), key=lambda n: scored[n].scores.objective, reverse=True)
    winner = scored[order[0]]
    finalists = tuple(
        Finalist(
            entry=found[n],
            search_rank=n + 1,
            rank=rank,
            objective=scored[n].scores.objective,
            objective_se=scored[n].scores.objective_se,
            behind=differences(winner, scored[n])[0],
        )
        for rank, n in enumerate(order, start=1)
    )
    return Finals(finalists, len(winner.pictures))


def held_before(path: Path, asked: dict[str, Any]) -> bool:
    """Whether finals.json answers this very question."""
    try:
        before = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(before.get("asked") == asked)


def write_finals(path: Path, finals: Finals, asked: dict[str, Any]) -> None:
    """finals.json: what was asked, every finalist, and the verdict."""
    told = {
        "asked": asked,
        "finalists": [finalist.as_dict() for finalist in finals.finalists],
        "pictures": finals.pictures,
        "agree": finals.agree,
        "verdict": finals.sentence(),
    }
    write_json(path, told)
