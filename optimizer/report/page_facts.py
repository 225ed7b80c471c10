"""Everything a report says, gathered before any of it is written."""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.report.charts import Chart
from optimizer.report.estimate import Estimate
from optimizer.report.findings import Findings, TrialRow, find, lead
from optimizer.report.page_charts import page_charts
from optimizer.report.pictures import (
    BASE_SAMPLES,
    Column,
    PromptRow,
    Shown,
    planned_pictures,
    side_by_side,
)
from optimizer.report.status_view import spoken_saving
from optimizer.report.transfer_story import TransferStory, transfer_story
from optimizer.study.open import load_existing
from optimizer.study.results import BestTrial, best_trial


@dataclass(frozen=True)
class Final:
    """The final training run: each checkpoint's objective, best first, and which file to take."""

    lora: str
    checkpoints: tuple[tuple[str, Estimate], ...]
    sheet: Path | None
    """Pictures of that file, all prompts and seeds; None if they are gone."""


@dataclass(frozen=True)
class Page:
    """A report, ready for a template."""

    config: StudyConfig
    findings: Findings
    best: TrialRow | None
    """At the checkpoint that was chosen; the search's own best where nobody chose another."""
    chosen_by: str
    """Who chose it, in words that complete a sentence."""
    lead: Estimate | None
    """Of the search's best over its second."""
    space: dict[str, str]
    settings: str
    """The best settings as TOML; empty before there are any."""
    command: str
    lora: str
    columns: tuple[tuple[str, str], ...]
    """Label and note of each column of pictures."""
    pictures: tuple[PromptRow, ...]
    epochs: tuple[Shown, ...]
    """The best trial's first picture at each of its checkpoints."""
    charts: dict[str, Chart]
    story: TransferStory | None
    final: Final | None
    saved: str | None
    """What early stops saved, in words."""
    provenance: dict[str, str]


def page_facts(config: StudyConfig) -> Page:
    """Read a study, its folder, and its source study's.

    Raises:
        StudyError: there is no such study yet.
        ConfigError: the study's prompts file is gone.
        TransferError: its transfer.json is damaged.
    """
    study = load_existing(config)
    findings = find(study, config)
    story = transfer_story(config, findings)
    chosen = best_trial(study, config.folder)
    best = _at(findings, chosen) if chosen else None
    params = config.folder / "best_params.json"
    columns = _columns(config, findings, best, story)
    return Page(
        config=config,
        findings=findings,
        best=best,
        chosen_by=_chosen_by(chosen) if chosen else "",
        lead=lead(findings),
        space={name: _described(p) for name, p in config.space.parameters.items()},
        settings=_settings(config, best) if best else "",
        command=shlex.join(["optimizer", "train", str(config.path), "--params", str(params)]),
        lora=(best.checkpoint or "") if best else "",
        columns=tuple((column.label, column.note) for column in columns),
        pictures=tuple(side_by_side(columns, planned_pictures(config)) if columns else ()),
        epochs=_epochs(config, best) if best else (),
        charts=page_charts(config, findings, story),
        story=story,
        final=_final(config),
        saved=spoken_saving(*findings.epochs),
        provenance=_provenance(config, best),
    )


def _at(findings: Findings, chosen: BestTrial) -> TrialRow | None:
    """The chosen trial as if its chosen checkpoint were its best."""
    row = next((trial for trial in findings.ranked if trial.number == chosen.number), None)
    return row and replace(
        row,
        objective=Estimate(chosen.value, chosen.standard_error),
        epoch=chosen.epoch,
        checkpoint=str(chosen.checkpoint),
    )


def _chosen_by(chosen: BestTrial) -> str:
    if chosen.chosen_by == "finals":
        return "the finals, on fresh seeds"
    if chosen.chosen_by == "pick":
        return f"hand: {chosen.why}" if chosen.why else "hand"
    return "the search"


def _described(parameter: Any) -> str:
    if parameter.type == "categorical":
        return ", ".join(map(str, parameter.choices))
    text = f"{parameter.low:g} to {parameter.high:g}"
    if parameter.log:
        text += ", log scale"
    if parameter.step is not None:
        text += f", step {parameter.step:g}"
    return f"{text}, times {parameter.ratio_of}" if parameter.ratio_of else text


def _settings(config: StudyConfig, best: TrialRow) -> str:
    """The whole [training] table of the best trial, as it was trained."""
    trained = config.training.model_dump() | best.params
    known = {k: v for k, v in trained.items() if k in Hyperparameters.model_fields}
    return tomli_w.dumps({"training": {k: v for k, v in known.items() if v not in (None, {})}})


def _columns(
    config: StudyConfig, findings: Findings, best: TrialRow | None, story: TransferStory | None
) -> list[Column]:
    if best is None:
        return []
    columns = []
    base = config.folder / BASE_SAMPLES
    if base.is_dir():
        columns.append(Column("base model", "without LoRA", base, planned_pictures(config)))
    if story and story.source and (source := _source_trial(story.source, story.source_trial)):
        columns.append(_column(story.source, source, f"{story.source_family} best"))
    columns.append(_column(config, best, f"{config.model.family} best"))
    others = [trial for trial in findings.ranked if trial.number != best.number]
    is_searched = best.number == (findings.best and findings.best.number)
    label = "second best" if is_searched else "best of the search"
    columns += [_column(config, trial, label) for trial in others[:1]]
    return columns


def _source_trial(source: StudyConfig, number: int | None) -> TrialRow | None:
    ranked = find(load_existing(source), source).ranked
    return next((trial for trial in ranked if trial.number == number), None)


def _column(config: StudyConfig, trial: TrialRow, label: str) -> Column:
    value = f"{trial.objective.value:.3f}" if trial.objective else "-"
    note = f"trial {trial.number}, epoch {trial.epoch}, objective {value}"
    return Column(label, note, _samples(config, trial, trial.epoch), planned_pictures(config))


def _samples(config: StudyConfig, trial: TrialRow, epoch: int | None) -> Path:
    return config.folder / f"trial_{trial.number:04d}" / "samples" / f"{epoch or 0:06d}"


def _epochs(config: StudyConfig, best: TrialRow) -> tuple[Shown, ...]:
    prompt = planned_pictures(config)[0].prompt
    shown = []
    for checkpoint in best.checkpoints:
        path = _samples(config, best, checkpoint.epoch) / "000.png"
        label = f"epoch {checkpoint.epoch}"
        note = f"objective {checkpoint.objective.value:.3f}"
        found = path if path.is_file() else None
        shown.append(Shown(label, note, f"{label} of trial {best.number}: {prompt}", found))
    return tuple(shown)


def _final(config: StudyConfig) -> Final | None:
    try:
        done = json.loads((config.folder / "final" / "final.json").read_bytes())
    except FileNotFoundError:
        return None
    rows = [
        (name, Estimate(scores["objective"], scores["objective_se"]))
        for name, scores in done["scores"].items()
    ]
    rows.sort(key=lambda row: row[1].value, reverse=True)
    lora = config.folder / "final" / done["best_checkpoint"]
    sheet = lora.with_suffix(".png")
    return Final(str(lora), tuple(rows), sheet if sheet.is_file() else None)


def _provenance(config: StudyConfig, best: TrialRow | None) -> dict[str, str]:
    facts = {
        "study file": str(config.path),
        "study folder": str(config.folder),
        "base model": config.model.pretrained_model_name_or_path,
        "judge": config.scoring.clip_model,
        "sampler": config.study.sampler,
        "seed": config.study.seed,
    }
    if best is not None:
        facts |= _of_result(config.folder / f"trial_{best.number:04d}" / "result.json")
    return {name: str(value) for name, value in facts.items()}


def _of_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    versions = ", ".join(f"{name} {v}" for name, v in result.get("versions", {}).items())
    return {
        "best LoRA, sha256": result.get("sha256", "-"),
        "UNet of the base model": result.get("base_model", {}).get("unet", "-"),
        "dataset digest": result.get("dataset_digest", "-"),
        "search space digest": result.get("space_digest", "-"),
        "device": result.get("device", "-"),
        "versions": versions,
    }
