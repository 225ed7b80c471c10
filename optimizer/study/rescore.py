"""The trials of a study under another preset, from their stored metrics, as a new study."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from optimizer.config.base import parse
from optimizer.config.resolved import RESOLVED, write_resolved
from optimizer.config.scoring import Preset
from optimizer.config.study import SearchConfig, StudyConfig, load_study
from optimizer.errors import StudyError
from optimizer.files import write_json
from optimizer.scoring.objective import Anchors, Scores, score
from optimizer.study.announce import write_best
from optimizer.study.open import load_existing, open_study
from optimizer.study.results import best_trial
from optimizer.trial import attrs
from optimizer.trial.record import TrialFolder
from optimizer.trial.worth import objective_names, told_values

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def renamed(config: StudyConfig, name: str, preset: Preset) -> StudyConfig:
    """The configuration of the new study; raises ConfigError for a name that cannot be one."""
    parse(SearchConfig, dict(config.study) | {"name": name}, config.path)
    return config.model_copy(
        update={
            "study": config.study.model_copy(update={"name": name}),
            "scoring": config.scoring.model_copy(update={"preset": preset}),
        }
    )


def rescore(config: StudyConfig, new: StudyConfig) -> optuna.Study:
    """Fill a new study with the finished trials of `config`'s, their numbers kept where possible.

    Nothing is drawn and no model is loaded. The LoRA files stay where they are.

    Raises:
        StudyError: there is no study to read from, or one of the new name already.
    """
    source = load_existing(config)
    anchors = _anchors(config)
    if new.folder.exists():
        raise StudyError(f"{new.folder} is there already; give another name with --name")
    write_resolved(new)
    # With the paths that `optimizer run` will find there when the new study goes on.
    new = load_study(new.folder / RESOLVED)
    write_json(new.folder / "anchors.json", anchors.as_dict())
    study = open_study(new)
    study.set_user_attr(attrs.RESCORED_FROM, config.name)
    for trial in source.get_trials(states=_FINISHED):
        if trial.user_attrs.get(attrs.FEASIBLE, False) and trial.state == TrialState.COMPLETE:
            number = len(study.get_trials(deepcopy=False))
            study.add_trial(_rescored(trial, config, new, number, anchors))
        else:
            study.add_trial(trial)
    if best := best_trial(study, new.folder):
        write_best(new, study, best)
    return study


def _anchors(config: StudyConfig) -> Anchors:
    path = config.folder / "anchors.json"
    try:
        return Anchors.from_dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, json.JSONDecodeError, KeyError) as error:
        raise StudyError(
            f"{path} is missing or damaged; it is written anew when `optimizer run` begins a trial"
        ) from error


def _rescored(
    trial: FrozenTrial, config: StudyConfig, new: StudyConfig, number: int, anchors: Anchors
) -> FrozenTrial:
    """A trial with its checkpoints scored anew, the best of which may be another one."""
    old, folder = TrialFolder(config.folder, trial.number), TrialFolder(new.folder, number)
    scored = old.read("scores.json")["checkpoints"]
    told = [_under(one, new.scoring.preset, anchors) for one in scored]
    usable = [one for one in told if Scores.from_dict(one).health.ok]
    best = max(usable, key=lambda one: float(one["objective"]))
    folder.write("params.json", old.read("params.json"))
    folder.write("scores.json", {"checkpoints": told})
    file = config.folder / Path(trial.user_attrs[attrs.CHECKPOINT]).parent / best["file"]
    facts: dict[str, Any] = {
        attrs.RESCORED_FROM: trial.number,
        attrs.CHECKPOINT: Path(os.path.relpath(file, new.folder)).as_posix(),
        attrs.EPOCH: best["epoch"],
        attrs.OBJECTIVE: best["objective"],
        attrs.STANDARD_ERROR: best["objective_se"],
        "sha256": best["sha256"],
        **{name: part["value"] for name, part in best["parts"].items()},
    }
    return create_trial(
        params=trial.params,
        distributions=trial.distributions,
        values=told_values(objective_names(new.scoring), facts),
        user_attrs=trial.user_attrs | facts,
        intermediate_values={one["epoch"]: one["objective"] for one in told},
    )


def _under(told: dict[str, Any], preset: Preset, anchors: Anchors) -> dict[str, Any]:
    """A checkpoint's entry of scores.json under another preset."""
    before = Scores.from_dict(told)
    if not before.per_picture:
        raise StudyError(f"{told['file']} was scored before metrics of every picture were kept")
    pictures = {name: np.array(v, dtype=np.float32) for name, v in before.per_picture.items()}
    per_prompt = before.counts["pictures_per_prompt"]
    scores, _ = score(pictures, anchors, preset, per_prompt, before.health)
    return told | scores.as_dict() | {"parts": told["parts"] | scores.as_dict()["parts"]}
