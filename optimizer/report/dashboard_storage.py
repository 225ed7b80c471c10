"""A study's database and artifacts as optuna-dashboard should see it.

optuna-dashboard 0.21 reads no constraint of Optuna 5 and takes whatever is COMPLETE for a
candidate, also what was only told the sampler as the worst value.
"""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.trial import attrs

_CONSTRAINTS = "constraints"
"""The key that optuna-dashboard reads: values above 0 are drawn as infeasible."""


def artifact_folder(config: StudyConfig) -> Path:
    """Where a study's artifacts lie. The dashboard may delete them: LoRAs are never among them."""
    return config.folder / "artifacts"


class DashboardStorage(RDBStorage):
    """Marks infeasible trials as such, never gives one as the best, and puts pictures in order."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """As RDBStorage; COMPLETE trials become PRUNED while none of them is feasible."""
        trials = super().get_all_trials(study_id, deepcopy)
        infeasible = [trial for trial in trials if _is_infeasible(trial)]
        complete = {t.number for t in trials if t.state is TrialState.COMPLETE}
        hopeless = complete <= {trial.number for trial in infeasible}
        for trial in infeasible:
            trial._system_attrs[_CONSTRAINTS] = [1.0]
            # A study that has COMPLETE trials is asked for its best one.
            if hopeless and trial.state is TrialState.COMPLETE:
                trial.state = TrialState.PRUNED
        for trial in trials:
            trial._system_attrs = _artifacts_in_order(trial._system_attrs)
        return [trial for trial in trials if states is None or trial.state in states]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best feasible trial; raises ValueError when there is none."""
        trials = self.get_all_trials(study_id, False, (TrialState.COMPLETE,))
        return max((t for t in trials if not _is_infeasible(t)), key=lambda t: t.value or 0.0)


def _is_infeasible(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get(attrs.FEASIBLE) is False


def _artifacts_in_order(stored: dict[str, Any]) -> dict[str, Any]:
    """By their file names: the page shows them as they come, and they come by random ids."""
    pictures = {
        key: value for key, value in stored.items() if key.startswith(ARTIFACTS_ATTR_PREFIX)
    }
    order = sorted(pictures, key=lambda key: json.loads(pictures[key] or "{}").get("filename", ""))
    others = {key: value for key, value in stored.items() if key not in pictures}
    return others | {key: pictures[key] for key in order}
