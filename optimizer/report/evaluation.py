"""`optimizer evaluate`: pictures and numbers of finished LoRAs, and which of them is best."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from optimizer.config.study import StudyConfig
from optimizer.files import write_json
from optimizer.models.device import device_held
from optimizer.models.lora import applied_lora, read_header
from optimizer.report.judged import (
    Wishes,
    as_wished,
    check_family,
    device_named,
    lora_files,
    sheet_names,
    study_of,
)
from optimizer.report.tables import console
from optimizer.scoring.compare import differences
from optimizer.scoring.objective import PARTS, Scores
from optimizer.scoring.scorer import Scored, Scorer
from optimizer.scoring.sheet import Cell, Row, write_sheet
from optimizer.trial.workbench import open_scorer

_SHOWN = (
    *(*PARTS, "clip_t", "clip_i", "diversity", "copy_rate"),
    *("dino_i", "pick_score", "aesthetic"),
)
BASE = "base model"


def score_file(scorer: Scorer, lora: Path) -> Scored:
    """Draw and judge one LoRA file."""
    # Drawn without any LoRA, and only where no earlier study has left them in the cache.
    _ = scorer.anchors
    with applied_lora(scorer.model, lora, scorer.config.strength):
        return scorer.score()


def evaluate(
    given: Sequence[Path], study: Path | None, output: Path, wishes: Wishes, device: str | None
) -> None:
    """Contact sheets and scores of LoRA files, or of all in folders, the bare base beside them.

    Raises:
        InputError: files, study or wishes that cannot be used.
    """
    loras, place = lora_files(given), device_named(device)
    headers = [read_header(lora) for lora in loras]
    config = as_wished(study_of(loras[0], study), headers[0], wishes)
    for header in headers:
        check_family(header, config)
    with device_held("optimizer evaluate", place):
        scorer = open_scorer(config, place)
        results, files = {BASE: scorer.baseline}, {BASE: BASE}
        for lora, name in sheet_names(loras).items():
            results[name], files[name] = score_file(scorer, lora), str(lora)
            write_sheet(output / f"{name}.png", name, sheet_rows(results[name], config))
    told = {files[name]: result.scores.as_dict() for name, result in results.items()}
    write_json(output / "scores.json", told)
    print_scores({name: r.scores for name, r in results.items()})
    console.print(verdict(results), soft_wrap=True, highlight=False)
    console.print(f"pictures and scores: {output}", soft_wrap=True)


def verdict(results: dict[str, Scored]) -> str:
    """Which LoRA is best, and by how much beyond noise; alone, how far it is from the base."""
    ranked = sorted(results, key=lambda name: results[name].scores.objective, reverse=True)
    unusable = [n for n in ranked if n != BASE and not results[n].scores.health.ok]
    ranked = [name for name in ranked if name not in unusable]
    said = [f"{name}: {results[name].scores.health.sentence()}" for name in unusable]
    if len(ranked) > 1:
        first, second = ranked[:2]
        lead = differences(results[second], results[first])[0]
        noise = "beyond noise" if lead.is_clear else "within noise"
        said.append(
            f"best: {first}, {lead.difference:.3f} ahead of {second} "
            f"(95 % interval {lead.low:+.3f} to {lead.high:+.3f}: {noise})"
        )
    return "\n".join(said)


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


def print_scores(scores: dict[str, Scores]) -> None:
    """One LoRA a line, every part with its standard error."""
    measured = next(iter(scores.values())).parts
    shown = [name for name in _SHOWN if name in measured]
    table = Table("LoRA", "objective", *shown)
    # Checkpoints of one run differ in the last letters of their names.
    table.columns[0].overflow = "fold"
    for name, found in scores.items():
        parts = (found.parts[part] for part in shown)
        cells = (f"{p.value:.3f} ± {p.standard_error:.3f}" for p in parts)
        table.add_row(name, f"{found.objective:.3f} ± {found.objective_se:.3f}", *cells)
    console.print(table)
