"""`optimizer compare`: two LoRAs, and a third or a bare base model, over the same prompts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.table import Table

from optimizer.config.base import parse
from optimizer.config.study import ModelConfig, StudyConfig
from optimizer.errors import ConfigError, LoraFileError, ModelError
from optimizer.files import file_digest, write_json
from optimizer.models.device import device_held
from optimizer.models.lora import read_header
from optimizer.models.model_files import check_reference
from optimizer.report.comparison_page import write_page
from optimizer.report.evaluation import score_file
from optimizer.report.judged import Wishes, as_wished, check_family, study_of
from optimizer.report.tables import console
from optimizer.scoring.compare import Difference, differences
from optimizer.scoring.scorer import Scored
from optimizer.scoring.sheet import Cell, Row, write_sheet
from optimizer.trial.workbench import open_scorer


@dataclass(frozen=True)
class Side:
    """One of what is compared: a LoRA on its base model, or a base model alone."""

    name: str
    lora: Path | None
    config: StudyConfig

    def identity(self) -> Any:
        """Differs for other contents."""
        model = self.config.model.model_dump(mode="json")
        return model | {"lora": None if self.lora is None else file_digest(self.lora)}


@dataclass(frozen=True)
class Pair:
    """Second minus first, metric by metric."""

    names: tuple[str, str]
    differences: list[Difference]


def compare(
    loras: Sequence[Path],
    base: str | None,
    study: Path | None,
    num_samples: int | None,
    output: Path,
) -> None:
    """Pictures of all sides over the same prompts and seeds, each at its native size.

    Prompts, seeds, real pictures and judge are those of the first LoRA's study, so that all answer
    the same questions.

    Args:
        base: a further LoRA file, or a base model to draw without any.
        num_samples: pictures of each side; as many as the study draws if None.

    Raises:
        InputError: files, studies or models that cannot be used.
    """
    configs = [study_of(lora, study) for lora in loras]
    configs[0] = as_wished(configs[0], read_header(loras[0]), Wishes(num_samples=num_samples))
    sides = [_side(lora, config, configs[0]) for lora, config in zip(loras, configs, strict=True)]
    if base is not None:
        sides.append(_third(base, sides, study))
    asked = {
        "sides": {side.name: side.identity() for side in sides},
        "scoring": sides[0].config.scoring.model_dump(mode="json"),
    }
    pairs = _compared_before(output / "comparison.json", asked)
    if pairs is None:
        pairs = _draw_and_write(sides, asked, output)
    for pair in pairs:
        print_differences(pair)
    console.print(f"pictures and scores: {output / 'index.html'}", soft_wrap=True)


def _side(lora: Path, config: StudyConfig, first: StudyConfig) -> Side:
    header = read_header(lora)
    check_family(header, config)
    return Side(f"{header.family}: {lora.stem}", lora, _asked_as(first, config))


def _third(given: str, sides: Sequence[Side], study: Path | None) -> Side:
    """A LoRA file, or a base model by folder, file or hub id."""
    first = sides[0].config
    if _is_lora(Path(given)):
        return _side(Path(given), study_of(Path(given), study), first)
    model = _base_model(given, [side.config.model for side in sides])
    config = _asked_as(first, first.model_copy(update={"model": model}))
    return Side(f"{model.family}: no LoRA", None, config)


def _is_lora(path: Path) -> bool:
    try:
        read_header(path)
    except LoraFileError:
        return False
    return True


def _base_model(given: str, known: Sequence[ModelConfig]) -> ModelConfig:
    """Of the family that its folder or file says; a hub id must be one that is already in use."""
    problems = []
    for family in ("sd15", "sdxl"):
        named = {"family": family, "pretrained_model_name_or_path": given}
        model = parse(ModelConfig, named, Path("BASE"))
        reference = model.pretrained_model_name_or_path
        for used in known:
            if used.pretrained_model_name_or_path == reference:
                return used
        try:
            check_reference(model)
        except ModelError as error:
            problems.append(str(error))
            continue
        if Path(reference).is_absolute():
            return model
    raise ConfigError(problems[-1] if problems else f"{given}: give the folder of a base model")


def _asked_as(first: StudyConfig, config: StudyConfig) -> StudyConfig:
    """`config`'s model with all that is asked of it from the first study, at its native size."""
    scoring = first.scoring.model_copy(
        update={"resolution": None, "clip_skip": config.scoring.clip_skip}
    )
    shared = {"scoring": scoring, "dataset": first.dataset, "study": first.study}
    return config.model_copy(update=shared)


def _compared_before(path: Path, asked: dict[str, Any]) -> list[Pair] | None:
    """The differences of the same question, if it was asked before."""
    try:
        before = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if before.get("asked") != json.loads(json.dumps(asked)):
        return None
    console.print("compared before, nothing has changed since")
    return [
        Pair((p["of"][0], p["of"][1]), [Difference(**d) for d in p["differences"]])
        for p in before["pairs"]
    ]


def _draw_and_write(sides: Sequence[Side], asked: dict[str, Any], output: Path) -> list[Pair]:
    scored = [_scored(side) for side in sides]
    names = [side.name for side in sides]
    named = list(zip(names, scored, strict=True))
    pairs = [Pair((a, b), differences(x, y)) for (a, x), (b, y) in combinations(named, 2)]
    columns = [n for n in names for _ in range(scored[0].scores.counts["pictures_per_prompt"])]
    write_sheet(output / "comparison.png", " beside ".join(names), _beside(scored), columns)
    write_page(output / "index.html", named, [(p.names, p.differences) for p in pairs])
    told = [{"of": p.names, "differences": [asdict(d) for d in p.differences]} for p in pairs]
    scores = {name: one.scores.as_dict() for name, one in named}
    write_json(
        output / "comparison.json",
        {"asked": asked, "scores": scores, "differences": told[0]["differences"], "pairs": told},
    )
    return pairs


def _scored(side: Side) -> Scored:
    """Models of earlier sides are let go before this one's are loaded."""
    with device_held("optimizer compare"):
        scorer = open_scorer(side.config)
        return scorer.baseline if side.lora is None else score_file(scorer, side.lora)


def _beside(scored: Sequence[Scored]) -> list[Row]:
    """A row a prompt: the pictures of one model, then those of the other, seed by seed."""
    count = scored[0].scores.counts["pictures_per_prompt"]
    rows = []
    for start in range(0, len(scored[0].pictures), count):
        pictures = [p for s in scored for p in s.pictures[start : start + count]]
        cells = (Cell(p.image, f"T {p.clip_t:.3f}  I {p.clip_i:.3f}") for p in pictures)
        rows.append(Row(pictures[0].prompt, tuple(cells)))
    return rows


def print_differences(pair: Pair) -> None:
    """A metric a line, with the interval of the paired difference."""
    table = Table("metric", *pair.names, "difference", "95 % interval", "")
    for d in pair.differences:
        verdict = "clear" if d.is_clear else "within noise"
        interval = f"{d.low:+.3f} to {d.high:+.3f}"
        table.add_row(
            d.metric, f"{d.a:.3f}", f"{d.b:.3f}", f"{d.difference:+.3f}", interval, verdict
        )
    console.print(table)
