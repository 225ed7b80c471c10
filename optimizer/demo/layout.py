"""`optimizer demo`: the offline world as any user's project lies on disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from optimizer.demo.world import COLOURS, Drawing, subject_drawing, subject_drawings

PICTURES, PICTURE_SIZE, SEED = 16, 64, 7
REFERENCE_BACKGROUNDS = [colour for colour in COLOURS if colour not in ("purple", "yellow")]
MODELS = ("sd15", "sdxl", "judge")
SHIPPED = (
    *("studies/demo_sd15.toml", "studies/demo_sdxl.toml"),
    *("search_spaces/demo_sd15.toml", "search_spaces/demo_sdxl.toml"),
)

_PACKAGE = Path(__file__).parent
_STEPS = (
    "optimizer run studies/demo_sd15.toml",
    "optimizer transfer runs/demo_sd15/best_params.json --to sdxl",
    "optimizer run studies/demo_sdxl.toml --init-params runs/demo_sd15/transfer.json",
    "optimizer train studies/demo_sdxl.toml --params runs/demo_sdxl/best_params.json",
)


def lay_out(folder: Path) -> Iterator[str]:
    """Write models, pictures, captions and study files; what is there already stays.

    Yields lines that tell what was done.
    """
    world = folder / "data" / "demo"
    for name in MODELS:
        shutil.copytree(_PACKAGE / "weights" / name, world / "models" / name, dirs_exist_ok=True)
    save_drawings(world / "images", subject_drawings(PICTURES, PICTURE_SIZE, SEED))
    rng = Random(SEED + 1)
    references = [subject_drawing(rng, PICTURE_SIZE, b) for b in REFERENCE_BACKGROUNDS]
    save_drawings(world / "references", references, captions=False)
    for name in SHIPPED:
        _copy_missing(_shipped(name), folder / name)
    yield f"the demo lies in {world}: models, {PICTURES} captioned pictures, references"
    yield "go on with:"
    yield from (f"  {step}" for step in _STEPS)


def save_drawings(folder: Path, drawings: list[Drawing], *, captions: bool = True) -> None:
    """Number the pictures as PNG, each caption in a .txt beside its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, drawing in enumerate(drawings):
        drawing.image.save(folder / f"{number:02d}.png")
        if captions:
            (folder / f"{number:02d}.txt").write_text(drawing.caption + "\n", encoding="utf-8")


def _shipped(name: str) -> Path:
    """Inside the package when installed from a wheel, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent.parent / name


def _copy_missing(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
