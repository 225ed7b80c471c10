"""`optimizer plan`: what a study will take, before anything runs."""

import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import optuna

from optimizer.cards import cards
from optimizer.config.space import CategoricalParameter, Parameter
from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.batches import updates_per_epoch
from optimizer.data.records import Record
from optimizer.data.samples import largest_bucket, place_record
from optimizer.errors import InfeasibleError, StudyError, TooLargeError
from optimizer.models.device import GIB
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.shapes import has_known_shapes, shapes_of
from optimizer.scoring.cost import drawing_flops
from optimizer.scoring.prompts import plan_pictures
from optimizer.space.search_space import SearchSpace
from optimizer.study.open import load_existing, space_of
from optimizer.study.results import counted_trials
from optimizer.training.cost import StepCost, network_bytes, step_cost
from optimizer.training.lora_size import lora_bytes
from optimizer.trial import attrs
from optimizer.trial.admission import Admission
from optimizer.trial.workbench import training_records

DRAWS = 500
"""How often the space is drawn from, to see how much of it is refused."""


@dataclass(frozen=True)
class Memory:
    """Of the card: what the largest trial is predicted to take, against what there is."""

    way: str
    """With gradient checkpointing or without."""
    cost: StepCost
    limit: int | None
    """Bytes; None where no card is known."""

    @property
    def fits(self) -> bool | None:
        """None where no card is known."""
        return None if self.limit is None else self.cost.peak <= self.limit


@dataclass(frozen=True)
class Plan:
    """A study before it runs. Pairs are of the smallest and the largest settings."""

    name: str
    architecture: str
    """Of which the memory is: the study's own, or its family's."""
    pictures: int
    pictures_with_repeats: int
    buckets: int
    largest_bucket: tuple[int, int]
    """Height and width."""
    updates_per_epoch: tuple[int, int]
    updates_per_trial: tuple[int, int]
    checkpoints_per_trial: tuple[int, int]
    pictures_per_checkpoint: int
    drawing_share: float
    """Of a trial's operations; the rest is training."""
    largest_trial: str
    memory: tuple[Memory, ...]
    memory_auto: str
    """What `study.memory` would choose for it; empty where no card is known or it may not."""
    lora_bytes: tuple[int, int]
    disk_bytes: tuple[int, int]
    """LoRA files that stay, of all trials."""
    trials_left: int
    seconds_per_trial: float | None
    """Median of this study's own; None before there is one."""
    refused: dict[str, float] = field(default_factory=dict)
    """Shares of random draws that constraints refuse, by reason; a draw may have several."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def plan_of(config: StudyConfig, card_gib: float | None = None) -> Plan:
    """Look ahead.

    Args:
        card_gib: memory of the card; of this machine's smallest if None.

    Raises:
        InputError: pictures, prompts or settings that cannot be used.
    """
    space, records = space_of(config), training_records(config)
    ends = smallest, largest = _end(space, small=True), _end(space, small=False)
    model = shapes_of(config.model)
    updates = [
        updates_per_epoch(records, s.train_batch_size, s.gradient_accumulation_steps) for s in ends
    ]
    # A larger batch makes fewer updates.
    per_epoch = min(updates), max(updates)
    checkpoints = tuple(-(-s.max_train_epochs // s.save_every_n_epochs) for s in ends)
    loras = lora_bytes(model, smallest, {}), lora_bytes(model, largest, {})
    prompts = plan_pictures(config.scoring, str(config.path))
    drawn = len(prompts.subject) + len(prompts.preservation)
    memory = tuple(_memory(config, model, largest, records, card_gib))
    training = memory[-1].cost.flops / _batch(largest, records) * _passes(largest, records)
    drawing = checkpoints[1] * drawn * drawing_flops(model, config.scoring)
    done, seconds = _done(config)
    kept = [min(config.study.keep_count, count) for count in checkpoints]
    if config.study.keep_checkpoints == "all":
        kept = list(checkpoints)
    return Plan(
        name=config.name,
        architecture="its own"
        if has_known_shapes(config.model)
        else f"the public {model.family}'s",
        pictures=len({record.path for record in records}),
        pictures_with_repeats=sum(record.subset.num_repeats for record in records),
        buckets=len({place_record(record).bucket for record in records}),
        largest_bucket=largest_bucket(records),
        updates_per_epoch=per_epoch,
        updates_per_trial=(
            per_epoch[0] * smallest.max_train_epochs,
            per_epoch[1] * largest.max_train_epochs,
        ),
        checkpoints_per_trial=(checkpoints[0], checkpoints[1]),
        pictures_per_checkpoint=drawn,
        drawing_share=drawing / (drawing + training),
        largest_trial=f"network_dim {largest.network_dim}, batch {_batch(largest, records)}",
        memory=memory,
        memory_auto=_chosen(config, largest, records, _limit(config, card_gib)),
        lora_bytes=loras,
        disk_bytes=(
            loras[0] * kept[0] * config.study.n_trials,
            loras[1] * kept[1] * config.study.n_trials,
        ),
        trials_left=max(config.study.n_trials - done, 0),
        seconds_per_trial=seconds,
        refused=refused_shares(space),
    )


def _passes(settings: Hyperparameters, records: tuple[Record, ...]) -> int:
    """Pictures that go through the networks in a trial, each as often as it does."""
    return settings.max_train_epochs * sum(record.subset.num_repeats for record in records)


def _end(space: SearchSpace, *, small: bool) -> Hyperparameters:
    """The settings at one end of every parameter; unchecked, as constraints may refuse them."""

    def pick(_: str, parameter: Parameter) -> Any:
        if not isinstance(parameter, CategoricalParameter):
            return parameter.low if small else parameter.high
        choices = parameter.choices
        if any(isinstance(choice, str) for choice in choices):
            return choices[0]
        # Checkpointing, the one choice of yes and no that matters here, needs less with yes.
        of_yes = {True, False} <= set(choices) and all(isinstance(c, bool) for c in choices)
        return (max if small == of_yes else min)(choices)

    return Hyperparameters.model_construct(**space.values(pick))


def _memory(
    config: StudyConfig,
    model: PipelineModel,
    settings: Hyperparameters,
    records: tuple[Record, ...],
    card_gib: float | None,
) -> list[Memory]:
    """The largest trial; with `auto` both before and after checkpointing was turned on."""
    limit, size = _limit(config, card_gib), largest_bucket(records)
    batch = _batch(settings, records)
    ways = {True: "checkpointing", False: "no checkpointing"}
    wanted = settings.gradient_checkpointing
    found = []
    for way in (False, True) if wanted == "auto" else (bool(wanted),):
        chosen = settings.model_copy(update={"gradient_checkpointing": way})
        found.append(Memory(ways[way], step_cost(model, chosen, batch, size), limit))
    return found


def _chosen(
    config: StudyConfig,
    settings: Hyperparameters,
    records: tuple[Record, ...],
    limit: int | None,
) -> str:
    """Without the judge, whose size is not known before it is loaded."""
    if limit is None:
        return ""
    base = sum(network_bytes(module) for module in shapes_of(config.model).modules.values())
    try:
        way = Admission(config, records, base, limit).way(settings)
    except TooLargeError as error:
        return f"refused: {error}"
    return way.sentence() if way else ""


def _batch(settings: Hyperparameters, records: tuple[Record, ...]) -> int:
    return settings.train_batch_size or max(record.dataset.batch_size for record in records)


def _limit(config: StudyConfig, card_gib: float | None) -> int | None:
    given = [gib for gib in (card_gib, config.study.memory_limit) if gib is not None]
    limits = [int(gib * GIB) for gib in given]
    if card_gib is None:
        limits += [card.memory_bytes for card in cards()]
    return min(limits, default=None)


def _done(config: StudyConfig) -> tuple[int, float | None]:
    """Trials that count, and how long those took that were trained to their end."""
    try:
        trials = counted_trials(load_existing(config))
    except StudyError:
        return 0, None
    whole = (t.user_attrs for t in trials if attrs.EARLY_STOPPED not in t.user_attrs)
    seconds = [float(facts[attrs.SECONDS]) for facts in whole if attrs.SECONDS in facts]
    return len(trials), median(seconds) if seconds else None


def refused_shares(space: SearchSpace) -> dict[str, float]:
    """Of random draws, by the reason of the constraint that refuses them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    reasons: Counter[str] = Counter()
    for _ in range(DRAWS):
        try:
            space.suggest(study.ask())
        except InfeasibleError as error:
            reasons.update(error.reasons)
    return {reason: count / DRAWS for reason, count in reasons.most_common()}


def free_bytes(config: StudyConfig) -> int:
    """Of the disk that the study's folder is on, or will be."""
    there: Path = next(p for p in (config.folder, *config.folder.resolve().parents) if p.exists())
    return shutil.disk_usage(there).free
