"""Which pictures train together in an epoch, and in which order; sd-scripts' arithmetic."""

import math
from collections.abc import Sequence
from itertools import groupby
from random import Random

from optimizer.data.captions import Progress
from optimizer.data.records import Record
from optimizer.data.samples import BatchPlan, draw_sample, place_record


def epoch_batches(
    records: Sequence[Record],
    *,
    seed: int,
    epoch: int,
    train_batch_size: int | None = None,
    prior_loss_weight: float = 1.0,
    gradient_accumulation_steps: int = 1,
    max_train_steps: int = 0,
) -> tuple[BatchPlan, ...]:
    """Return the batches of an epoch (counted from 1) in training order.

    The same for the same arguments, whatever was asked before. train_batch_size overrides the
    datasets' own; the last two arguments only matter to token_warmup_step.
    """
    random = Random(seed + epoch)
    batches = [
        batch
        for bucket, batch_size in _buckets(records, train_batch_size)
        for batch in _shuffled_batches(bucket, batch_size, random)
    ]
    random.shuffle(batches)
    first_step = (epoch - 1) * math.ceil(len(batches) / gradient_accumulation_steps)
    plans = []
    for index, batch in enumerate(batches):
        step = first_step + index // gradient_accumulation_steps
        progress = Progress(epoch, step, max_train_steps)
        samples = (draw_sample(record, progress, prior_loss_weight, random) for record in batch)
        plans.append(BatchPlan(tuple(samples)))
    return tuple(plans)


def batches_per_epoch(records: Sequence[Record], train_batch_size: int | None = None) -> int:
    """Count the batches of an epoch; every bucket's last one may be partial."""
    buckets = _buckets(records, train_batch_size)
    return sum(math.ceil(len(bucket) / batch_size) for bucket, batch_size in buckets)


def updates_per_epoch(
    records: Sequence[Record],
    train_batch_size: int | None = None,
    gradient_accumulation_steps: int = 1,
) -> int:
    """Count the optimizer updates of an epoch; the last one may have fewer batches."""
    batches = batches_per_epoch(records, train_batch_size)
    return math.ceil(batches / gradient_accumulation_steps)


def _buckets(
    records: Sequence[Record], train_batch_size: int | None
) -> list[tuple[list[Record], int]]:
    """Records with their repeats by dataset and bucket, each with its batch size."""
    buckets: list[tuple[list[Record], int]] = []
    ordered = sorted(records, key=lambda record: record.dataset_index)
    for _, same_dataset in groupby(ordered, key=lambda record: record.dataset_index):
        group = list(same_dataset)
        by_size: dict[tuple[int, int], list[Record]] = {}
        for record, repeats in _repeats(group):
            by_size.setdefault(place_record(record).bucket, []).extend([record] * repeats)
        batch_size = train_batch_size or group[0].dataset.batch_size
        buckets += [(by_size[size], batch_size) for size in sorted(by_size)]
    return buckets


def _repeats(records: Sequence[Record]) -> list[tuple[Record, int]]:
    """How often each record of a dataset is seen in an epoch.

    Regularisation pictures are gone through again and again until they are as many as the
    training pictures; of too many the last ones are left out.
    """
    train = [(record, record.subset.num_repeats) for record in records if not record.is_reg]
    regs = [record for record in records if record.is_reg]
    wanted = sum(repeats for _, repeats in train)
    counts = [0] * len(regs)
    seen = 0
    while regs and seen < wanted:
        for index, record in enumerate(regs):
            more = 1 if counts[index] else record.subset.num_repeats
            counts[index] += more
            seen += more
            if seen >= wanted:
                break
    return train + [pair for pair in zip(regs, counts, strict=True) if pair[1]]


def _shuffled_batches(
    bucket: Sequence[Record], batch_size: int, random: Random
) -> list[list[Record]]:
    order = random.sample(bucket, len(bucket))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
