"""Held-out pictures are never trained on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.config.dataset import DatasetConfig
from optimizer.data.records import Record, scan
from optimizer.data.split import hold_out, hold_out_validation

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


@pytest.fixture
def ten(draw: Draw, configure: Configure, tmp_path: Path) -> DatasetConfig:
    """Ten pictures, held by two datasets under different names, and two of regularisation."""
    for number in range(10):
        draw(f"{number}.png")
    for number in range(2):
        draw(f"../reg/{number}.png")
    (tmp_path / "link").symlink_to(tmp_path / "images")
    reg = {"image_dir": tmp_path / "reg", "is_reg": True}
    first = configure({"num_repeats": 3}, reg, validation_split=0.2, validation_seed=5)
    second = configure({"image_dir": tmp_path / "link"})
    return DatasetConfig(datasets=(*first.datasets, *second.datasets))


def names(records: tuple[Record, ...]) -> set[str]:
    return {record.path.name for record in records if not record.is_reg}


@pytest.mark.parametrize(("wanted", "count"), [(0, 0), (4, 4), (0.25, 2), (99, 9), (0.99, 9)])
def test_disjoint_in_every_dataset(ten: DatasetConfig, wanted: float, count: int) -> None:
    train, held_out = hold_out(scan(ten), wanted, seed=1)
    assert len(held_out) == len(names(held_out)) == count
    assert not names(train) & names(held_out)
    assert names(train) | names(held_out) == {f"{number}.png" for number in range(10)}
    assert len(train) == 2 * (10 - count) + 2
    assert not any(record.is_reg for record in held_out)


def test_the_seed_decides(ten: DatasetConfig) -> None:
    records = scan(ten)
    chosen = [names(hold_out(records, 4, seed)[1]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert names(hold_out(records[::-1], 4, 1)[1]) == chosen[0]


def test_every_dataset_keeps_a_picture(draw: Draw, configure: Configure, tmp_path: Path) -> None:
    draw("a.png")
    draw("../other/b.png")
    other = configure({"image_dir": tmp_path / "other"})
    both = DatasetConfig(datasets=(*configure().datasets, *other.datasets))
    train, held_out = hold_out(scan(both), 1, seed=0)
    assert (len(train), held_out) == (2, ())


def test_validation_split_of_the_file(ten: DatasetConfig) -> None:
    records = scan(ten)
    train, held_out = hold_out_validation(records, seed=0)
    assert len(held_out) == 2
    assert not names(train) & names(held_out)
    assert names(hold_out_validation(records, seed=1)[1]) == names(held_out)
