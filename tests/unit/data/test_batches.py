"""sd-scripts' arithmetic of batches, and the same epoch for the same seed."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from optimizer.config.dataset import DatasetConfig
from optimizer.data.batches import batches_per_epoch, epoch_batches, updates_per_epoch
from optimizer.data.records import Record, scan
from optimizer.data.samples import BatchPlan, both_flips

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


def seen(plans: tuple[BatchPlan, ...]) -> Counter[str]:
    return Counter(sample.record.path.name for plan in plans for sample in plan.samples)


def five_and_two(draw: Draw, config: DatasetConfig) -> tuple[Record, ...]:
    for number in range(5):
        draw(f"square{number}.png", (64, 64))
    for number in range(2):
        draw(f"wide{number}.png", (128, 32))
    return scan(config)


def test_partial_batches_are_kept_per_bucket(draw: Draw, configure: Configure) -> None:
    records = five_and_two(draw, configure(num_repeats=3, batch_size=4))
    plans = epoch_batches(records, seed=1, epoch=1)
    assert len(plans) == math.ceil(15 / 4) + math.ceil(6 / 4) == batches_per_epoch(records)
    assert sorted(len(plan.samples) for plan in plans) == [2, 3, 4, 4, 4, 4]
    assert set(seen(plans).values()) == {3}
    assert all(len({s.placement.bucket for s in plan.samples}) == 1 for plan in plans)


def test_buckets_take_turns(draw: Draw, configure: Configure) -> None:
    records = five_and_two(draw, configure(num_repeats=4))
    buckets = [p.samples[0].placement.bucket for p in epoch_batches(records, seed=0, epoch=1)]
    changes = sum(a != b for a, b in pairwise(buckets))
    assert changes > 5


def test_train_batch_size_overrides(draw: Draw, configure: Configure) -> None:
    records = five_and_two(draw, configure(batch_size=4))
    assert [batches_per_epoch(records, size) for size in (None, 1, 2, 8)] == [3, 7, 4, 2]
    assert len(epoch_batches(records, seed=1, epoch=1, train_batch_size=8)) == 2


def test_updates_count_the_last_short_group(draw: Draw, configure: Configure) -> None:
    records = five_and_two(draw, configure())
    assert [updates_per_epoch(records, 1, steps) for steps in (1, 2, 3, 7, 8)] == [7, 4, 3, 1, 1]


def test_epochs_are_deterministic_and_differ(draw: Draw, configure: Configure) -> None:
    config = configure(flip_aug=True, shuffle_caption=True, random_crop=True, color_aug=True)
    records = five_and_two(draw, config)

    def epoch(number: int, seed: int = 7) -> tuple[BatchPlan, ...]:
        return epoch_batches(records, seed=seed, epoch=number)

    assert epoch(2) == epoch(2)
    epochs = [epoch(1), epoch(2), epoch(3), epoch(1, seed=8000)]
    assert all(a != b for i, a in enumerate(epochs) for b in epochs[i + 1 :])


def test_flips_come_half_the_time_and_mirror_the_crop(draw: Draw, configure: Configure) -> None:
    draw("a.png", (91, 64))
    config = configure(flip_aug=True, num_repeats=400, enable_bucket=False)
    plans = epoch_batches(scan(config), seed=0, epoch=1)
    samples = [sample for plan in plans for sample in plan.samples]
    assert 150 < sum(sample.flip for sample in samples) < 250
    assert {(sample.flip, sample.crop_top_left) for sample in samples} == {
        (False, (0, 13)),
        (True, (0, 14)),
    }


def test_random_crops_cover_the_whole_picture(draw: Draw, configure: Configure) -> None:
    draw("a.png", (72, 64))
    config = configure(random_crop=True, num_repeats=200, enable_bucket=False)
    plans = epoch_batches(scan(config), seed=0, epoch=1)
    assert {plan.samples[0].crop for plan in plans} == {(0, left) for left in range(9)}


def test_regularisation_pictures_match_the_training_pictures(
    draw: Draw, configure: Configure, tmp_path: Path
) -> None:
    draw("a.png")
    draw("b.png")
    for number in range(3):
        draw(f"../reg/r{number}.png")
    reg = {"image_dir": tmp_path / "reg", "is_reg": True}
    records = scan(configure({"num_repeats": 5}, reg))
    plans = epoch_batches(records, seed=0, epoch=1, prior_loss_weight=0.5)
    expected = {"a.png": 5, "b.png": 5, "r0.png": 4, "r1.png": 3, "r2.png": 3}
    assert seen(plans) == expected
    weights = {s.record.is_reg: s.loss_weight for plan in plans for s in plan.samples}
    assert weights == {False: 1.0, True: 0.5}
    doubled = scan(configure({"num_repeats": 5}, reg | {"num_repeats": 2}))
    assert seen(epoch_batches(doubled, seed=0, epoch=1)) == expected
    few = scan(configure({"num_repeats": 1}, reg))
    assert seen(epoch_batches(few, seed=0, epoch=1)) == dict.fromkeys(list(expected)[:4], 1)


def test_datasets_keep_their_own_batches(draw: Draw, configure: Configure, tmp_path: Path) -> None:
    for number in range(4):
        draw(f"{number}.png")
    both = (*configure(batch_size=4).datasets, *configure(batch_size=1).datasets)
    plans = epoch_batches(scan(DatasetConfig(datasets=both)), seed=0, epoch=1)
    assert sorted(len(plan.samples) for plan in plans) == [1, 1, 1, 1, 4]
    assert all(len({s.record.dataset_index for s in plan.samples}) == 1 for plan in plans)


def test_tags_warm_up_with_updates(draw: Draw, configure: Configure) -> None:
    for number in range(4):
        draw(f"{number}.png", caption="a, b, c, d, e")
    records = scan(configure(token_warmup_step=4))
    plans = [
        plan
        for epoch in (1, 2, 3)
        for plan in epoch_batches(
            records, seed=0, epoch=epoch, train_batch_size=1, gradient_accumulation_steps=2
        )
    ]
    lengths = [len(plan.samples[0].caption.split(",")) for plan in plans]
    assert lengths == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]


def test_what_a_cache_needs(draw: Draw, configure: Configure) -> None:
    draw("a.png")
    assert [p.samples[0].flip for p in both_flips(scan(configure(flip_aug=True)))] == [False, True]
    assert [p.samples[0].flip for p in both_flips(scan(configure()))] == [False]
    assert both_flips(scan(configure(random_crop=True))) == ()
