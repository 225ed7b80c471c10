"""From a file or a study to the first trials of another study."""

from pathlib import Path

from optimizer.config.study import FamilyName, StudyConfig
from optimizer.errors import StudyError
from optimizer.storage.database import storage_url
from optimizer.study.best_params import read_best_params
from optimizer.study.source import SourceStudy, diverse, read_study
from optimizer.study.transfer import Transfer, transfer
from optimizer.study.transfer_rules import Plan


def from_file(path: Path, target: FamilyName, plan: Plan) -> Transfer:
    """Carry a best_params.json or params.json over; raises TransferError."""
    values, provenance = read_best_params(path)
    return transfer(values, target, provenance, plan=plan)


def from_trials(source: SourceStudy, target: FamilyName, plan: Plan, top: int) -> Transfer:
    """Carry a study's best trial over, and with it further good trials unlike it; `top` in all.

    Raises:
        TransferError: nothing of the best trial can be used.
    """
    best, *others = diverse(source.trials, top)
    named = {
        f"trial {trial.number} of {source.name} ({trial.value:.4g})": trial.hyperparameters
        for trial in others
    }
    return transfer(best.hyperparameters, target, source.facts, others=named, plan=plan)


SUCCESSOR_SEEDS = 5


def from_predecessor(config: StudyConfig, old: StudyConfig) -> Transfer:
    """The first trials of a study that takes the place of another, whose settings have changed.

    Within a family they are the old study's best and further good trials unlike it, as they were;
    across families the best one's ladder comes first.

    Raises:
        StudyError: both are the same study.
        TransferError: the old one has no trial that could be begun with.
    """
    if (config.name, config.folder.resolve()) == (old.name, old.folder.resolve()):
        raise StudyError(
            f"{config.path} and {old.path} are the same study {config.name}; give the new one "
            "another name under [study]"
        )
    url = storage_url(old.folder, old.study.storage).render_as_string(hide_password=False)
    source = read_study(url, old.name)
    plan: Plan = "ladder" if config.model.family != old.model.family else "same"
    return from_trials(source, config.model.family, plan, SUCCESSOR_SEEDS)
