"""`optimizer evaluate` and `optimizer compare`: pictures and numbers of finished LoRAs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from optimizer.config.resolved import RESOLVED
from optimizer.config.study import StudyConfig, load_study
from optimizer.errors import ConfigError, LoraFileError
from optimizer.files import file_digest, write_json
from optimizer.models.lora import applied_lora, read_header
from optimizer.report.tables import console
from optimizer.scoring.compare import Difference, differences
from optimizer.scoring.objective import PARTS, Scores
from optimizer.scoring.scorer import Scored, Scorer
from optimizer.scoring.sheet import Cell, Row, write_sheet
from optimizer.trial.workbench import open_scorer

_SHOWN = (*PARTS[:2], "preservation", "clip_t", "clip_i", "diversity", "copy_rate")


def study_of(lora: Path, given: Path | None) -> StudyConfig:
    """The study a LoRA is judged by: the one given, else the one whose folder holds it.

    Raises:
        ConfigError: neither is there.
    """
    if given is not None:
        return load_study(given)
    for folder in lora.resolve().parents:
        if (folder / RESOLVED).is_file():
            return load_study(folder / RESOLVED)
    raise ConfigError(
        f"{lora} lies in no study's folder; say with --study whose base model and prompts to use"
    )


def score_file(scorer: Scorer, lora: Path) -> Scored:
    """Draw and judge one LoRA file."""
    with applied_lora(scorer.model, lora, scorer.config.strength):
        return scorer.score()


def evaluate(loras: Sequence[Path], study: Path | None, output: Path) -> None:
    """Contact sheet and scores of LoRA files, the bare base model beside them."""
    headers = [read_header(lora) for lora in loras]
    config = study_of(loras[0], study)
    for header in headers:
        _check_family(header.path, header.family, config)
    scorer = open_scorer(config)
    base = scorer.baseline
    results = {"base model": base} | {str(lora): score_file(scorer, lora) for lora in loras}
    for lora in loras:
        write_sheet(output / f"{lora.stem}.png", lora.stem, sheet_rows(results[str(lora)], config))
    write_json(output / "scores.json", {name: r.scores.as_dict() for name, r in results.items()})
    print_scores({name: r.scores for name, r in results.items()})
    console.print(f"pictures and scores: {output}", soft_wrap=True)


def sheet_rows(scored: Scored, config: StudyConfig) -> list[Row]:
    """A row a prompt, a picture a seed."""
    count = config.scoring.num_images_per_prompt
    rows = []
    for start in range(0, len(scored.pictures), count):
        group = scored.pictures[start : start + count]
        cells = tuple(
            Cell(p.image, f"T {p.clip_t:.3f}  I {p.clip_i:.3f}  #{p.seed}") for p in group
        )
        rows.append(Row(group[0].prompt, cells))
    return rows


def compare(a: Path, b: Path, study: Path | None, output: Path) -> None:
    """Two LoRAs over the same prompts and seeds, each on its own base model at its own size.

    Prompts, seeds, real pictures and judge are those of A's study, so that both answer the same
    questions.
    """
    loras = (a, b)
    headers = [read_header(lora) for lora in loras]
    configs = [study_of(lora, study) for lora in loras]
    for header, config in zip(headers, configs, strict=True):
        _check_family(header.path, header.family, config)
    configs = [_asked_as(configs[0], config) for config in configs]
    names = [f"{c.model.family}: {lora.stem}" for c, lora in zip(configs, loras, strict=True)]
    asked = {
        "loras": {n: file_digest(lora) for n, lora in zip(names, loras, strict=True)},
        "scoring": configs[0].scoring.model_dump(mode="json"),
    }
    path = output / "comparison.json"
    found = _compared_before(path, asked)
    if found is None:
        pairs = zip(configs, loras, strict=True)
        scored = [score_file(open_scorer(config), lora) for config, lora in pairs]
        found = differences(*scored)
        count = scored[0].scores.counts["pictures_per_prompt"]
        columns = [name for name in names for _ in range(count)]
        write_sheet(output / "comparison.png", " beside ".join(names), _beside(scored), columns)
        scores = {n: s.scores.as_dict() for n, s in zip(names, scored, strict=True)}
        told = [asdict(difference) for difference in found]
        write_json(path, {"asked": asked, "scores": scores, "differences": told})
    print_differences(names, found)
    console.print(f"pictures and scores: {output}", soft_wrap=True)


def _asked_as(first: StudyConfig, config: StudyConfig) -> StudyConfig:
    """`config`'s model with all that is asked of it from the first study, at its native size."""
    scoring = first.scoring.model_copy(
        update={"resolution": None, "clip_skip": config.scoring.clip_skip}
    )
    shared = {"scoring": scoring, "dataset": first.dataset, "study": first.study}
    return config.model_copy(update=shared)


def _compared_before(path: Path, asked: dict[str, Any]) -> list[Difference] | None:
    """The differences of the same question, if it was asked before."""
    try:
        before = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if before.get("asked") != json.loads(json.dumps(asked)):
        return None
    console.print("compared before, nothing has changed since")
    return [Difference(**difference) for difference in before["differences"]]


def _check_family(lora: Path, family: str, config: StudyConfig) -> None:
    if family != config.model.family:
        raise LoraFileError(
            f"{lora} is a LoRA for {family}, but {config.path} is a study of {config.model.family}"
        )


def _beside(scored: Sequence[Scored]) -> list[Row]:
    """A row a prompt: the pictures of one model, then those of the other, seed by seed."""
    count = scored[0].scores.counts["pictures_per_prompt"]
    rows = []
    for start in range(0, len(scored[0].pictures), count):
        pictures = [p for s in scored for p in s.pictures[start : start + count]]
        cells = (Cell(p.image, f"T {p.clip_t:.3f}  I {p.clip_i:.3f}") for p in pictures)
        rows.append(Row(pictures[0].prompt, tuple(cells)))
    return rows


def print_scores(scores: dict[str, Scores]) -> None:
    """One LoRA a line, every part with its standard error."""
    table = Table("LoRA", "objective", *_SHOWN)
    for name, found in scores.items():
        parts = (found.parts[part] for part in _SHOWN)
        cells = (f"{p.value:.3f} ± {p.standard_error:.3f}" for p in parts)
        table.add_row(name, f"{found.objective:.3f} ± {found.objective_se:.3f}", *cells)
    console.print(table)


def print_differences(names: Sequence[str], found: Sequence[Difference]) -> None:
    """A metric a line, with the interval of the paired difference."""
    table = Table("metric", *names, "difference", "95 % interval", "")
    for d in found:
        verdict = "clear" if d.is_clear else "within noise"
        interval = f"{d.low:+.3f} to {d.high:+.3f}"
        table.add_row(
            d.metric, f"{d.a:.3f}", f"{d.b:.3f}", f"{d.difference:+.3f}", interval, verdict
        )
    console.print(table)
