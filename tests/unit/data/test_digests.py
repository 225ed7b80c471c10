"""Datasets are known by what is in them."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from optimizer.config.dataset import DatasetConfig, Subset
from optimizer.data.digests import records_digest
from optimizer.data.records import scan

Draw = Callable[..., Path]
Configure = Callable[..., DatasetConfig]


class Counted(Subset):
    """Counts how often it is written out."""

    def __str__(self) -> str:
        WRITTEN.append(1)
        return super().__str__()


WRITTEN: list[int] = []


def test_settings_are_written_out_once_not_once_a_picture(draw: Draw, configure: Configure) -> None:
    """Of 10,000 pictures in 100 folders each would name all folders, for half a minute a trial."""
    for number in range(5):
        draw(f"{number}.png")
    subset = Counted(image_dir=Path("images"))
    records = [replace(record, subset=subset) for record in scan(configure())]
    WRITTEN.clear()
    records_digest({"train": records})
    assert len(WRITTEN) == 1


def test_long_settings_are_not_held_once_a_picture(draw: Draw, configure: Configure) -> None:
    """Of 10,000 pictures in 100 folders it would be half a gigabyte."""
    draw("a.png")
    subset = Subset(image_dir=Path("images"), class_tokens="word " * 100_000)
    records = [replace(record, subset=subset) for record in scan(configure())] * 50
    tracemalloc.start()
    try:
        records_digest({"train": records})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * len(str(subset))


def test_what_changes_the_digest(draw: Draw, configure: Configure) -> None:
    path = draw("a.png", caption="one")
    draw("b.png")
    before = scan(configure())
    digest = records_digest({"train": before, "validation": ()})
    assert digest == records_digest({"train": scan(configure()), "validation": ()})
    others = [{"train": before[:1], "validation": before[1:]}]
    others.append({"train": scan(configure(num_repeats=2)), "validation": ()})
    path.with_suffix(".txt").write_text("two")
    others.append({"train": scan(configure()), "validation": ()})
    path.with_suffix(".txt").write_text("one")
    draw("a.png", (72, 64), caption="one")
    others.append({"train": scan(configure()), "validation": ()})
    assert len({digest, *(records_digest(parts) for parts in others)}) == 5
