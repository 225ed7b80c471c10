"""One trial: hyperparameters suggested, a LoRA trained, its checkpoints drawn and scored."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Protocol

import optuna

from optimizer.config.study import StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.errors import BadPicturesError
from optimizer.models.device import GIB, memory_held
from optimizer.space.search_space import SearchSpace
from optimizer.storage.outage import outlast
from optimizer.training.noise import training_scheduler
from optimizer.training.results import Checkpoint, Step, TrainingResult
from optimizer.training.state import TrainingState
from optimizer.trial import attrs
from optimizer.trial.divergence import DivergenceGuard, loss_of_nothing
from optimizer.trial.hang import HangWatch
from optimizer.trial.intermediate import is_hopeless, report_value
from optimizer.trial.outcome import Outcome, outcome_of
from optimizer.trial.provenance import provenance
from optimizer.trial.record import TrialFolder
from optimizer.trial.retention import forget_checkpoints
from optimizer.trial.scored import ScoredCheckpoint, score_checkpoint, scored_before
from optimizer.trial.tensorboard import TensorBoard
from optimizer.trial.workbench import Workbench

logger = logging.getLogger(__name__)

CREEP_SHARE, CREEP_BYTES = 1.05, 200 * 2**20
"""What may stay on the card after a trial, of what lay there before the first and beside it."""


class TrialAudience(Protocol):
    """Who watches a trial."""

    def step(self, step: Step) -> None:
        """One update was made."""

    def scored(self, checkpoint: ScoredCheckpoint) -> None:
        """One checkpoint was drawn and scored."""


class Objective:
    """Turns an Optuna trial into an outcome; the base model stays in memory between trials."""

    def __init__(
        self, config: StudyConfig, bench: Workbench, space: SearchSpace, audience: TrialAudience
    ) -> None:
        self.config, self.bench, self.space, self.audience = config, bench, space, audience
        self.memory_at_first = memory_held(bench.model.device)

    def __call__(self, trial: optuna.Trial) -> Outcome:
        """Run a trial to its end; only InputError is raised."""
        folder = TrialFolder(self.config.folder, trial.number)
        with self._watched(folder):
            outcome = outcome_of(lambda: self._run(trial, folder), folder.path)
        result = {"outcome": outcome.kind, "reason": outcome.reason, "value": outcome.value}
        origin = provenance(self.bench) | {"space_digest": self.space.digest()}
        folder.write("result.json", result | origin | outcome.attributes)
        if outcome.state not in ("failed", "interrupted"):
            folder.forget_state()
        return outcome if outcome.replace_worker else replace(outcome, replace_worker=self._crept())

    def _crept(self) -> str:
        """What a trial left on the card is lost to the next ones."""
        held, first = memory_held(self.bench.model.device), self.memory_at_first
        if held <= CREEP_SHARE * first + CREEP_BYTES:
            return ""
        return f"memory in use has crept from {first / GIB:.2f} to {held / GIB:.2f} GiB"

    @contextmanager
    def _watched(self, folder: TrialFolder) -> Iterator[None]:
        """Every pass through the UNet, to train or to draw, is a sign of progress."""
        with HangWatch(folder.path) as watch:
            hook = self.bench.model.pipeline.unet.register_forward_hook(lambda *_: watch.beat())
            try:
                yield
            finally:
                hook.remove()

    def _run(self, trial: optuna.Trial, folder: TrialFolder) -> Outcome:
        settings = outlast(lambda: self._suggested(trial))
        folder.write("params.json", settings.model_dump())
        way = self.bench.memory_way(settings)
        state = self._taken_over(trial, folder, settings)
        scored = self._scored_before(trial, folder, state)
        with TensorBoard(folder.tensorboard, state.global_step if state else 0) as board:
            result = self.bench.trainer.train(
                settings,
                folder.checkpoints,
                self.config.name,
                state_folder=folder.state,
                way=way,
                report=self._reporter(trial, folder, scored, board),
                observe=self._observer(folder, settings, board),
            )
            self.bench.check_base_unchanged()
            best = max(scored, key=lambda s: s.rank)
            if not best.scores.health.ok:
                raise BadPicturesError(scored[-1].scores.health.sentence())
            board.settings(settings, best.scores.objective)
        attributes = self._attributes(settings, best, result, folder)
        return Outcome("complete", "complete", value=best.scores.objective, attributes=attributes)

    def _suggested(self, trial: optuna.Trial) -> Hyperparameters:
        settings = self.space.suggest(trial)
        trial.set_user_attr(attrs.PLANNED_EPOCHS, settings.max_train_epochs)
        return settings

    def _taken_over(
        self, trial: optuna.Trial, folder: TrialFolder, settings: Hyperparameters
    ) -> TrainingState | None:
        """Where an interrupted trial with these parameters was, its files brought here."""
        earlier = trial.user_attrs.get(attrs.RETRY_OF)
        if earlier is None:
            return None
        folder.take_over(earlier["trials"])
        state = self.bench.trainer.stopped_at(settings, folder.state)
        folder.keep_steps(state.global_step if state else 0)
        return state

    def _scored_before(
        self, trial: optuna.Trial, folder: TrialFolder, state: TrainingState | None
    ) -> list[ScoredCheckpoint]:
        scored = scored_before(folder, state) if state else []
        for one in scored:
            report_value(trial, one.scores.objective, one.checkpoint.epoch)
        return scored

    def _reporter(
        self,
        trial: optuna.Trial,
        folder: TrialFolder,
        scored: list[ScoredCheckpoint],
        board: TensorBoard,
    ) -> Callable[[Checkpoint], bool]:
        def report(checkpoint: Checkpoint) -> bool:
            one, images = score_checkpoint(self.bench, checkpoint, folder)
            scored.append(one)
            folder.write("scores.json", {"checkpoints": [s.as_dict() for s in scored]})
            forget_checkpoints(scored, self.config.study)
            parts = {name: part.value for name, part in one.scores.parts.items()}
            board.checkpoint(checkpoint, {"objective": one.scores.objective} | parts)
            board.pictures(images, checkpoint.global_step)
            report_value(trial, one.scores.objective, checkpoint.epoch)
            self.audience.scored(one)
            return not is_hopeless(trial, max(scored, key=lambda s: s.rank).scores.objective_se)

        return report

    def _observer(
        self, folder: TrialFolder, settings: Hyperparameters, board: TensorBoard
    ) -> Callable[[Step], None]:
        scheduler = training_scheduler(dict(self.bench.model.pipeline.scheduler.config))
        guard = DivergenceGuard(loss_of_nothing(scheduler, settings))

        def observe(step: Step) -> None:
            folder.append_step(asdict(step))
            board.step(step)
            self.audience.step(step)
            guard.observe(step)

        return observe

    def _attributes(
        self,
        settings: Hyperparameters,
        best: ScoredCheckpoint,
        result: TrainingResult,
        folder: TrialFolder,
    ) -> dict[str, Any]:
        searched = settings.model_dump(include=set(self.space.config.parameters))
        trained = result.checkpoints[-1].epoch
        return {
            attrs.PLANNED_EPOCHS: settings.max_train_epochs,
            attrs.TRAINED_EPOCHS: trained,
            **({attrs.EARLY_STOPPED: trained} if result.stopped_early else {}),
            attrs.EFFECTIVE: searched,
            attrs.CHECKPOINT: folder.relative(best.checkpoint.path),
            attrs.EPOCH: best.checkpoint.epoch,
            attrs.STANDARD_ERROR: best.scores.objective_se,
            attrs.MEMORY: result.memory.sentence(),
            attrs.MAX_TRAIN_STEPS: result.max_train_steps,
            attrs.VALIDATION_LOSS: best.checkpoint.validation_loss,
            "sha256": best.checkpoint.sha256,
            **{name: part.value for name, part in best.scores.parts.items()},
        }
