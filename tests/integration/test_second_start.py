"""A study that starts again reads as little as it can of what it has read before."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optimizer.config.study import load_study
from optimizer.demo.layout import lay_out
from optimizer.trial.workbench import open_workbench

OPENED: list[str] = []
LISTENING: list[bool] = []


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and LISTENING:
        OPENED.append(str(arguments[0]))


@contextmanager
def _files_opened() -> Iterator[Counter[Path]]:
    """How often each file is opened inside this block; Python cannot remove an audit hook."""
    found: Counter[Path] = Counter()
    OPENED.clear()
    LISTENING.append(True)
    try:
        yield found
    finally:
        LISTENING.clear()
        found.update(Path(name) for name in OPENED)


def test_a_second_start(tmp_path: Path, cache_home: Path) -> None:
    list(lay_out(tmp_path))
    config = load_study(tmp_path / "studies" / "demo_sd15.toml")
    config.folder.mkdir(parents=True)
    open_workbench(config)
    sys.addaudithook(_listen)
    with _files_opened() as opened:
        open_workbench(config)
    pictures = [path for path in opened if path.parent.name == "images" and path.suffix == ".png"]
    assert len(pictures) == 16
    # Its header, and its pixels to look for copies of it.
    assert {opened[path] for path in pictures} == {2}
    assert not [path for path in opened if "tensors" in path.parts]
