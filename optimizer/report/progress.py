"""What a person sees while a study runs: two bars in a terminal, a line per trial elsewhere."""

from types import TracebackType

import optuna
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from optimizer.report.audiences import Spectator
from optimizer.report.tables import console, short
from optimizer.space.fit import Fitted
from optimizer.study.results import counted_trials
from optimizer.training.results import Step
from optimizer.trial.outcome import Outcome
from optimizer.trial.scored import ScoredCheckpoint


class ProgressView(Spectator):
    """Audience of a study and of its trials; a context manager that owns the bars."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.study_bar: TaskID | None = None
        self.trial_bar: TaskID | None = None
        self.n_trials = 0

    def __enter__(self) -> "ProgressView":
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        """Show how much of the study is done already."""
        done = len(counted_trials(study))
        self.n_trials = n_trials
        self.study_bar = self.bars.add_task("study", total=n_trials, completed=done, note="")
        for number, seed in enumerate(seeds):
            for name, note in seed.notes.items():
                console.print(f"seed {number}: {name}: {note}", highlight=False)
        state = f"{done} of {n_trials} trials done"
        console.print(f"study {study.study_name}: {state}", highlight=False)

    def trial_began(self, number: int) -> None:
        """A fresh bar for a fresh trial."""
        self.begin(f"trial {number}")

    def begin(self, description: str) -> None:
        """A fresh bar for one training run."""
        self._remove_trial_bar()
        self.trial_bar = self.bars.add_task(description, total=None, note="")

    def step(self, step: Step) -> None:
        """Loss and seconds per step of the running trial."""
        if self.trial_bar is not None:
            self.bars.update(
                self.trial_bar,
                total=step.max_train_steps,
                completed=step.global_step,
                note=f"epoch {step.epoch}  loss {step.loss:.4f}  {step.seconds:.2f} s/step",
            )

    def scored(self, checkpoint: ScoredCheckpoint) -> None:
        """Objective of a checkpoint."""
        if self.trial_bar is not None:
            scores = checkpoint.scores
            note = f"epoch {checkpoint.checkpoint.epoch}  objective {scores.objective:.3f}"
            self.bars.update(self.trial_bar, note=note)

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """One line that stays."""
        self._remove_trial_bar()
        if self.study_bar is not None and outcome.state in ("complete", "infeasible"):
            self.bars.advance(self.study_bar)
        console.print(_line(number, outcome, is_best), highlight=False, soft_wrap=True)

    def _remove_trial_bar(self) -> None:
        if self.trial_bar is not None:
            self.bars.remove_task(self.trial_bar)
            self.trial_bar = None


def _line(number: int, outcome: Outcome, is_best: bool) -> str:
    if outcome.state != "complete":
        return f"trial {number:>3}  {outcome.kind}: {escape(outcome.reason)}"
    facts = outcome.attributes
    settings = "  ".join(f"{k} {short(v)}" for k, v in facts["effective_params"].items())
    star = "  [bold green]best so far[/]" if is_best else ""
    error = facts["objective_se"]
    score = f"{outcome.value:.3f} ± {error:.3f}"
    return f"trial {number:>3}  objective {score}  epoch {facts['epoch']}  {settings}{star}"
