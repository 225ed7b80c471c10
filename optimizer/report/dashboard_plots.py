"""Figures that optuna-dashboard does not draw by itself, saved with the study."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import optuna

from optimizer.config.study import StudyConfig
from optimizer.report.estimate import Estimate
from optimizer.report.findings import Findings, TrialRow
from optimizer.report.transfer_story import TransferStory

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PARTS = ("subject", "prompt", "preservation_share")
_RATE = "learning_rate"


def save_plots(
    study: optuna.Study, config: StudyConfig, findings: Findings, story: TransferStory | None
) -> None:
    """Save the figures under their names: each replaces the one before."""
    from optuna_dashboard import save_plotly_graph_object

    if not findings.ranked:
        return
    figures = {"history_with_seeds": _history(findings), "parts_of_the_score": _parts(findings)}
    if _RATE in config.space.parameters:
        figures["learning_rate_and_score"] = _learning_rate(findings, story)
    trained, planned = findings.epochs
    if trained < planned:
        figures["epochs_saved"] = _epochs_saved(findings)
    for name, figure in figures.items():
        save_plotly_graph_object(study, figure, graph_object_id=name)


def _history(findings: Findings) -> "Figure":
    figure = _figure("Objective by trial, 95 % intervals, seeds as diamonds", "trial", "objective")
    _add_trials(figure, findings, lambda trial: trial.number)
    lost = [trial for trial in findings.trials if not trial.objective]
    figure.add_scatter(
        x=[trial.number for trial in lost],
        y=[0.0] * len(lost),
        mode="markers",
        name="no score",
        text=[f"{trial.outcome}: {trial.reason}" for trial in lost],
        marker={"symbol": "x", "color": "#b42318"},
    )
    return figure


def _learning_rate(findings: Findings, story: TransferStory | None) -> "Figure":
    figure = _figure("Learning rate and objective", "learning rate", "objective")
    _add_trials(figure, findings, lambda trial: trial.params.get(_RATE))
    figure.update_xaxes(type="log")
    if story and story.source_rate:
        # A vertical line with words would be placed as if the axis were not logarithmic.
        values = [trial.objective.value for trial in findings.ranked if trial.objective]
        figure.add_scatter(
            x=[story.source_rate] * 2,
            y=[min(values), max(values)],
            mode="lines",
            name=f"best of {story.source_family}",
            line={"dash": "dash", "color": "#59636e"},
        )
    return figure


def _parts(findings: Findings) -> "Figure":
    figure = _figure("Parts of the score, best trials first", "trial", "score")
    best = findings.ranked[:10]
    for part in PARTS:
        known = [(trial, trial.best_parts[part]) for trial in best if part in trial.best_parts]
        figure.add_bar(
            x=[f"trial {trial.number}" for trial, _ in known],
            y=[estimate.value for _, estimate in known],
            error_y=_intervals([estimate for _, estimate in known]),
            name=part,
        )
    return figure


def _epochs_saved(findings: Findings) -> "Figure":
    trained, planned = findings.epochs
    title = f"Early stops saved {planned - trained} of {planned} epochs"
    figure = _figure(title, "trial", "epochs")
    told = [(trial.number, *trial.epochs) for trial in findings.trials if trial.epochs]
    numbers = [number for number, _, _ in told]
    figure.add_bar(x=numbers, y=[trained for _, trained, _ in told], name="trained")
    figure.add_bar(x=numbers, y=[planned - trained for _, trained, planned in told], name="saved")
    figure.update_layout(barmode="stack")
    return figure


def _add_trials(
    figure: "Figure", findings: Findings, place: Callable[[TrialRow], float | None]
) -> None:
    for is_seed, name, symbol in ((False, "drawn", "circle"), (True, "enqueued seed", "diamond")):
        trials = [t for t in findings.ranked if t.is_seed is is_seed]
        values = [(t, t.objective) for t in trials if t.objective]
        figure.add_scatter(
            x=[place(trial) for trial, _ in values],
            y=[objective.value for _, objective in values],
            error_y=_intervals([objective for _, objective in values]),
            mode="markers",
            name=name,
            text=[f"trial {trial.number}" for trial, _ in values],
            marker={"symbol": symbol, "size": 9},
        )


def _intervals(estimates: list[Estimate]) -> dict[str, Any]:
    """95 % intervals, cut where scores end."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(min(e.high, 1.0) - e.value, 0.0) for e in estimates],
        "arrayminus": [max(e.value - max(e.low, 0.0), 0.0) for e in estimates],
    }


def _figure(title: str, x: str, y: str) -> "Figure":
    from plotly.graph_objects import Figure

    # Without a template: it would be most of what is stored, and the dashboard has its own.
    figure = Figure()
    figure.update_layout(template=None, title=title, xaxis_title=x, yaxis_title=y)
    return figure
