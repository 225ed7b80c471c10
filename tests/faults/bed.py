"""A study with real worker processes, what they did, and whether anything was lost."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optimizer.config.study import StudyConfig
from optimizer.study.open import load_existing
from optimizer.study.results import counted_trials
from optimizer.trial import attrs

from .worker import GO, value_of

WORKER = Path(__file__).with_name("worker.py")
PATIENCE_SECONDS = 120.0
LOST = ("interrupted", "killed", "hung")
Event = dict[str, Any]


@dataclass
class Bed:
    """A study to do harm to.

    plan: what every worker is told, see `worker.Plan`.
    """

    config: StudyConfig
    ledger: Path
    plan: dict[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, **more: Any) -> subprocess.Popen[str]:
        """One more worker."""
        arguments = [str(self.config.path), str(self.ledger), json.dumps(self.plan | more)]
        process = subprocess.Popen(
            [sys.executable, str(WORKER), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_signals,
        )
        self.processes.append(process)
        return process

    def run(self, **more: Any) -> tuple[int, str]:
        """One more worker, to its end; returns its exit code and what it complained of."""
        return self.end_of(self.start(**more))

    def end_of(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for a worker; returns its exit code and what it complained of."""
        complaint = process.communicate(timeout=PATIENCE_SECONDS)[1]
        return process.returncode, complaint

    def events(self, kind: str | None = None) -> list[Event]:
        """What workers did, in order."""
        if not self.ledger.exists():
            return []
        lines = [json.loads(line) for line in self.ledger.read_text().splitlines()]
        return [line for line in lines if kind in (None, line["event"])]

    def await_event(self, kind: str, count: int = 1, **facts: Any) -> Event:
        """Wait until something happened for the count-th time; returns it."""

        def found() -> list[Event]:
            return [e for e in self.events(kind) if facts.items() <= e.items()]

        wait_until(lambda: len(found()) >= count)
        return found()[count - 1]

    def go_on(self) -> None:
        """Let trials that wait, see `worker.Plan`, wait no more."""
        self.ledger.with_suffix(GO).touch()

    def trials(self) -> list[FrozenTrial]:
        """As they stand in the database."""
        return load_existing(self.config).get_trials(deepcopy=False)

    def counts(self) -> Counter[str]:
        """Trials by state."""
        return Counter(trial.state.name for trial in self.trials())

    def check(self, n_trials: int) -> None:
        """Nothing was lost, done twice or mixed up, and `n_trials` count."""
        study = load_existing(self.config)
        _tell(study.trials)
        states = {trial.state for trial in study.trials}
        assert not states & {TrialState.RUNNING, TrialState.WAITING}
        counted = counted_trials(study)
        assert len(counted) == n_trials
        for trial in counted:
            self._check_result(trial)
        _check_retries(study.trials)
        self._check_ledger(counted)

    def _check_result(self, trial: FrozenTrial) -> None:
        if not trial.user_attrs[attrs.FEASIBLE]:
            assert trial.value == 0.0
            return
        params = trial.user_attrs[attrs.EFFECTIVE]
        assert trial.value == value_of(params)
        folder = self.config.folder / f"trial_{trial.number:04d}"
        result = json.loads((folder / "result.json").read_bytes())
        assert (result["value"], result[attrs.EFFECTIVE]) == (trial.value, params)
        assert json.loads((folder / "params.json").read_bytes()) == params

    def _check_ledger(self, counted: Sequence[FrozenTrial]) -> None:
        """A number is begun once, parameters are finished once, what was finished counts."""
        began = Counter(event["trial"] for event in self.events("began"))
        assert set(began.values()) == {1}
        params = {event["trial"]: _key(event["params"]) for event in self.events("began")}
        finished = Counter(params[event["trial"]] for event in self.events("finished"))
        complete = Counter(
            _key(t.user_attrs[attrs.EFFECTIVE]) for t in counted if t.user_attrs[attrs.FEASIBLE]
        )
        assert set(complete.values()) <= {1}
        assert set(finished.values()) <= {1}
        # Of a worker that was killed just before it said so, `finished` may not tell.
        assert set(finished) <= set(complete)

    def check_seeds(self, seeds: Sequence[dict[str, Any]]) -> None:
        """Each was enqueued once and its trial counts, once."""
        first = [t for t in self.trials() if attrs.SEED_ID in t.user_attrs]
        enqueued = [t for t in first if not {attrs.RETRY_OF, attrs.RESULT_OF} & set(t.user_attrs)]
        counted = [t for t in first if attrs.FEASIBLE in t.user_attrs]
        for trials in (enqueued, counted):
            rates = sorted(_given(t)["learning_rate"] for t in trials)
            assert rates == sorted(seed["learning_rate"] for seed in seeds)


def _hear_signals() -> None:
    """Also where nohup or make has told the tests to ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _key(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _check_retries(trials: Sequence[FrozenTrial]) -> None:
    """What was stopped or killed ran again, once, as the same trial."""
    copies = Counter(t.user_attrs[attrs.RETRY_OF]["trials"][-1] for t in trials if _retry(t))
    assert set(copies.values()) <= {1}
    lost = [t for t in trials if t.user_attrs.get(attrs.OUTCOME) in LOST]
    assert {t.number for t in lost} <= set(copies)
    for copy in filter(_retry, trials):
        original = trials[copy.user_attrs[attrs.RETRY_OF]["trials"][-1]]
        assert original.state is TrialState.FAIL
        assert original.params.items() <= _given(copy).items()


def _tell(trials: Sequence[FrozenTrial]) -> None:
    """For whom a failed test leaves with a riddle."""
    for trial in trials:
        facts = {key: trial.user_attrs.get(key) for key in (attrs.OUTCOME, attrs.RETRY_OF)}
        print(trial.number, trial.state.name, _given(trial), facts)


def _given(trial: FrozenTrial) -> dict[str, Any]:
    """Parameters, also of a trial that died before it could ask for the enqueued ones."""
    enqueued: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return enqueued | trial.params


def _retry(trial: FrozenTrial) -> bool:
    return attrs.RETRY_OF in trial.user_attrs


def wait_until(holds: Callable[[], bool]) -> None:
    """Poll; fails when it takes minutes."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def seeds(count: int) -> list[dict[str, Any]]:
    """Hyperparameters to begin with, told apart by their learning rates."""
    return [{"learning_rate": round(1e-5 * (k + 1), 9), "network_dim": 8} for k in range(count)]
