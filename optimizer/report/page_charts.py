"""The charts of a report."""

from optimizer.config.study import StudyConfig
from optimizer.report.charts import Chart, Marker, Point, scatter
from optimizer.report.estimate import Estimate
from optimizer.report.findings import Findings, TrialRow
from optimizer.report.transfer_story import TransferStory

_RATE = "learning_rate"


def page_charts(
    config: StudyConfig, findings: Findings, story: TransferStory | None
) -> dict[str, Chart]:
    """Objective by trial and by learning rate; none before a trial has a score."""
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
