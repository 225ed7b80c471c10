"""Everything a report says, gathered before any of it is written."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.report.charts import Chart, Marker, Point, scatter
from optimizer.report.findings import Estimate, Findings, TrialRow, find, lead
from optimizer.report.pictures import (
    BASE_SAMPLES,
    Column,
    PromptRow,
    Shown,
    planned_pictures,
    side_by_side,
)
from optimizer.report.transfer_story import TransferStory, transfer_story
from optimizer.study.open import load_existing

_RATE = "learning_rate"


@dataclass(frozen=True)
class Final:
    """The final training run: each checkpoint's objective, best first, and which file to take."""

    lora: str
    checkpoints: tuple[tuple[str, Estimate], ...]


@dataclass(frozen=True)
class Page:
    """A report, ready for a template."""

    config: StudyConfig
    findings: Findings
    lead: Estimate | None
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
    provenance: dict[str, str]


def page_facts(config: StudyConfig) -> Page:
    """Read a study, its folder, and its source study's.

    Raises:
        StudyError: there is no such study yet.
        ConfigError: the study's prompts file is gone.
        TransferError: its transfer.json is damaged.
    """
    findings = find(load_existing(config), config)
    story = transfer_story(config, findings)
    best = findings.best
    params = config.folder / "best_params.json"
    columns = _columns(config, findings, story)
    return Page(
        config=config,
        findings=findings,
        lead=lead(findings),
        space={name: _described(p) for name, p in config.space.parameters.items()},
        settings=_settings(config, best) if best else "",
        command=shlex.join(["optimizer", "train", str(config.path), "--params", str(params)]),
        lora=str(config.folder / best.checkpoint) if best and best.checkpoint else "",
        columns=tuple((column.label, column.note) for column in columns),
        pictures=tuple(side_by_side(columns, planned_pictures(config)) if columns else ()),
        epochs=_epochs(config, best) if best else (),
        charts=_charts(config, findings, story),
        story=story,
        final=_final(config),
        provenance=_provenance(config, best),
    )


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
    return tomli_w.dumps({"training": {k: v for k, v in known.items() if v is not None}})


def _columns(config: StudyConfig, findings: Findings, story: TransferStory | None) -> list[Column]:
    if findings.best is None:
        return []
    columns = []
    base = config.folder / BASE_SAMPLES
    if base.is_dir():
        columns.append(Column("base model", "without LoRA", base, planned_pictures(config)))
    if story and story.source and (source := _source_trial(story.source, story.source_trial)):
        columns.append(_column(story.source, source, f"{story.source_family} best"))
    columns.append(_column(config, findings.best, f"{config.model.family} best"))
    columns += [_column(config, trial, "second best") for trial in findings.ranked[1:2]]
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


def _charts(
    config: StudyConfig, findings: Findings, story: TransferStory | None
) -> dict[str, Chart]:
    scored = sorted(findings.ranked, key=lambda trial: trial.number)
    if not scored:
        return {}
    lost = [Marker(t.number, _lost(t)) for t in findings.trials if not t.objective]
    found = {
        "history": scatter(
            "Objective of every trial",
            "Each point is a trial with its 95 % interval; the line is the best so far.",
            [_point(t, t.number, findings) for t in scored],
            x_title="trial",
            best_so_far=True,
            crosses=lost,
        )
    }
    rated = [t for t in scored if _rate(t)]
    if rated and _RATE in config.space.parameters:
        rated.sort(key=_rate)
        source = story.source_rate if story else None
        found["learning_rate"] = scatter(
            "Learning rate against objective",
            "Each point is a trial with its 95 % interval, by its learning rate.",
            [_point(t, _rate(t), findings) for t in rated],
            x_title="learning rate (log scale)",
            log_x=True,
            markers=[Marker(source, f"best of {story.source_family}")] if story and source else [],
        )
    return found


def _rate(trial: TrialRow) -> float:
    return float(trial.params.get(_RATE) or 0.0)


def _point(trial: TrialRow, x: float, findings: Findings) -> Point:
    objective = trial.objective or Estimate(0.0, 0.0)
    is_best = findings.best is not None and trial.number == findings.best.number
    kind = "best" if is_best else "seed" if trial.is_seed else "drawn"
    label = f"trial {trial.number}: {objective.value:.3f} ± {objective.standard_error:.3f}"
    return Point(x, objective.value, objective.low, objective.high, kind, label)


def _lost(trial: TrialRow) -> str:
    return f"trial {trial.number}: {trial.outcome}"


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
    return Final(str(config.folder / "final" / done["best_checkpoint"]), tuple(rows))


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
