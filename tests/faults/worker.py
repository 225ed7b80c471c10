"""A worker of a study whose trials are short pauses instead of trainings; a process to be killed.

    python worker.py STUDY.toml LEDGER PLAN

PLAN is JSON, see `Plan`. Everything but the training is the product's: runner, leases, storage,
trial folders, classes of outcomes. What really happened stands in LEDGER, a line of JSON each,
appended in one write, so that no signal can tear it.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from optimizer.config.study import StudyConfig, load_study
from optimizer.config.training import Hyperparameters
from optimizer.errors import InputError, NonFiniteLossError, OptimizerError
from optimizer.logs import quiet_libraries
from optimizer.processes import BAD_INPUT, DONE, INTERRUPTED, STOPPED
from optimizer.space.fit import Fitted
from optimizer.storage.outage import outlast
from optimizer.study.open import space_of
from optimizer.study.runner import run_study
from optimizer.trial import attrs
from optimizer.trial.hang import HangWatch
from optimizer.trial.intermediate import report_value
from optimizer.trial.outcome import Outcome, outcome_of
from optimizer.trial.record import TrialFolder

STATE = "state.json"
GO = ".go"


@dataclass(frozen=True)
class Plan:
    """What a worker does.

    steps, pause: each trial pauses `steps` times for `pause` seconds. faults: what happens halfway
    through a trial, by its number: "out_of_memory", "nan", "crash", "wait" until the file beside
    the ledger appears, or "hang". patience: seconds of silence that are a hang. gate: a file to
    wait for before it begins, so that several begin at once.
    """

    steps: int = 10
    pause: float = 0.02
    n_trials: int | None = None
    seeds: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    patience: float = 600.0
    gate: str | None = None


class Ledger:
    """Appends what happens; is also the audience of the run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "pid": os.getpid(), "time": time.time()} | facts)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        self.say("opened")

    def trial_began(self, number: int) -> None:
        self.say("asked", trial=number)

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        self.say("told", trial=number, kind=outcome.kind)


class PausingObjective:
    """As the product's `Objective`, but every update is a pause."""

    def __init__(self, config: StudyConfig, plan: Plan, ledger: Ledger) -> None:
        self.config, self.plan, self.ledger = config, plan, ledger
        self.space = space_of(config)

    def __call__(self, trial: optuna.Trial) -> Outcome:
        folder = TrialFolder(self.config.folder, trial.number)
        outcome = outcome_of(lambda: self._run(trial, folder), folder.path)
        result = {"outcome": outcome.kind, "reason": outcome.reason, "value": outcome.value}
        folder.write("result.json", result | outcome.attributes)
        if outcome.state == "complete":
            self.ledger.say("finished", trial=trial.number, value=outcome.value)
        return outcome

    def _run(self, trial: optuna.Trial, folder: TrialFolder) -> Outcome:
        settings = outlast(lambda: self.space.suggest(trial))
        params = self._searched(settings)
        self.ledger.say("began", trial=trial.number, params=params)
        folder.write("params.json", params)
        first = self._steps_before(trial, folder) + 1
        with HangWatch(folder.path, least=self.plan.patience) as watch:
            for step in range(first, self.plan.steps + 1):
                watch.beat()
                self._update(trial, folder, step)
        value = value_of(params)
        facts = {
            attrs.EFFECTIVE: params,
            attrs.CHECKPOINT: f"trial_{trial.number:04d}/checkpoints/small.safetensors",
            attrs.EPOCH: 1,
            attrs.STANDARD_ERROR: 0.01,
            attrs.MAX_TRAIN_STEPS: self.plan.steps,
        }
        return Outcome("complete", "complete", value=value, attributes=facts)

    def _searched(self, settings: Hyperparameters) -> dict[str, Any]:
        return settings.model_dump(include=set(self.config.space.parameters))

    def _steps_before(self, trial: optuna.Trial, folder: TrialFolder) -> int:
        earlier = trial.user_attrs.get(attrs.RETRY_OF)
        if earlier is None:
            return 0
        folder.take_over(earlier["trials"])
        path = folder.state / STATE
        return int(json.loads(path.read_bytes())["step"]) if path.exists() else 0

    def _update(self, trial: optuna.Trial, folder: TrialFolder, step: int) -> None:
        time.sleep(self.plan.pause)
        if step == self.plan.steps // 2:
            self._suffer(self.plan.faults.get(str(trial.number)))
        folder.append_step({"global_step": step, "loss": 0.1})
        folder.write(f"state/{STATE}", {"step": step})
        self.ledger.say("step", trial=trial.number, step=step)
        report_value(trial, step / 1000, step)

    def _suffer(self, fault: str | None) -> None:
        if fault == "out_of_memory":
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if fault == "nan":
            raise NonFiniteLossError("the loss became nan at update 5; lower learning_rate")
        if fault == "crash":
            raise OSError(5, "Input/output error")
        if fault == "hang":
            time.sleep(3600)
        if fault == "wait":
            self.ledger.say("waiting")
            wait_for(self.ledger.path.with_suffix(GO))


def wait_for(file: Path) -> None:
    """Until it is there."""
    while not file.exists():
        time.sleep(0.001)


def value_of(params: Mapping[str, Any]) -> float:
    """Of these parameters and no others: a number in [0.1, 0.9) drawn by their digest."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).digest()
    return 0.1 + 0.8 * int.from_bytes(digest[:6]) / 2**48


def work(study_file: Path, ledger: Ledger, plan: Plan) -> int:
    """Run the study; returns the exit code that `optimizer worker` would have."""
    config = load_study(study_file)
    ledger.say("ready")
    if plan.gate is not None:
        wait_for(Path(plan.gate))
    try:
        result = run_study(
            config,
            lambda: PausingObjective(config, plan, ledger),
            ledger,
            n_trials=plan.n_trials,
            seeds=plan.seeds,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except OptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, InputError) else STOPPED
    return INTERRUPTED if result.interrupted else DONE


def main() -> None:
    """See the top of this file."""
    quiet_libraries()
    study_file, ledger, plan = sys.argv[1:]
    sys.exit(work(Path(study_file), Ledger(Path(ledger)), Plan(**json.loads(plan))))


if __name__ == "__main__":
    main()
