"""Picks that people write into trials' notes on the dashboard."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from optimizer.trial import attrs

_KEY = re.compile(r"dashboard:(\d+):note_str:(\d+)")
"""Where optuna-dashboard keeps the pieces of a trial's note: Optuna's id of it, and the place."""
_PICK = re.compile(r"^[ \t]*pick:[ \t]*(?:epoch[ \t]+)?(\d+)?[ \t,.:]*(.*)$", re.I | re.M)


@dataclass(frozen=True)
class NotedPick:
    """A line `pick: EPOCH WHY` in a trial's note; without a number its best epoch is meant."""

    trial: FrozenTrial
    epoch: int
    why: str


def picks_in_notes(study: optuna.Study, feasible: Sequence[FrozenTrial]) -> Iterator[NotedPick]:
    """Those of feasible trials; the epochs are as people wrote them."""
    notes = _notes(study)
    for trial in feasible:
        if line := _PICK.search(notes.get(trial._trial_id, "")):
            epoch = int(line[1] or trial.user_attrs[attrs.EPOCH])
            yield NotedPick(trial, epoch, line[2].strip() or "picked on the dashboard")


def _notes(study: optuna.Study) -> dict[int, str]:
    """Notes by Optuna's id of their trials."""
    pieces: dict[int, dict[int, str]] = defaultdict(dict)
    for key, text in study._storage.get_study_system_attrs(study._study_id).items():
        if found := _KEY.fullmatch(key):
            pieces[int(found[1])][int(found[2])] = text
    return {
        trial: "".join(text for _, text in sorted(texts.items())) for trial, texts in pieces.items()
    }
