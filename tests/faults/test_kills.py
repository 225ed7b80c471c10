"""Workers stopped and killed at any moment: what a study has found and is owed stays."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from optuna.trial import TrialState

from optimizer.errors import StudyError
from optimizer.study.recovery import MOST_RETRIES
from optimizer.trial import attrs

from .bed import Bed, seeds

ORDERLY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KILLS, TRIALS, STEPS = 30, 12, 120


@pytest.mark.slow
def test_a_study_outlives_thirty_kills(make_bed: Callable[..., Bed], database: str | None) -> None:
    enqueued = seeds(4)
    bed = make_bed(database, plan={"steps": STEPS, "seeds": enqueued}, n_trials=TRIALS)
    random, sent = Random(4), Counter[str]()
    for _ in range(KILLS):
        sent[_killed_at_random(bed, random)] += 1
    assert len(sent) == len(ORDERLY) + 1
    assert bed.run()[0] == 0
    bed.check(TRIALS)
    bed.check_seeds(enqueued)
    # Work is kept, not only results: an update in hand may be lost with each kill.
    steps = len(bed.events("step"))
    assert steps + KILLS >= TRIALS * STEPS
    assert steps <= TRIALS * STEPS + KILLS


def _killed_at_random(bed: Bed, random: Random) -> str:
    """Start a worker and kill it, while it starts or later; returns by which signal."""
    kind = random.choice([*ORDERLY, signal.SIGKILL])
    worker = bed.start()
    if moment := random.choice(["", "ready", "opened", "began", "began", "began"]):
        bed.await_event(moment, pid=worker.pid)
    time.sleep(random.uniform(0.0, 0.9))
    if kind is signal.SIGKILL and _one_is_on_its_last_try(bed):
        kind = signal.SIGTERM
    worker.send_signal(kind)
    code, complaint = bed.end_of(worker)
    assert code != 0, "the study ended before it was killed often enough"
    crashed = "Traceback" in complaint and not complaint.strip().endswith("KeyboardInterrupt")
    assert not crashed, complaint
    return kind.name


def _one_is_on_its_last_try(bed: Bed) -> bool:
    """A trial that dies with its worker thrice is given up, which is not what is looked at."""
    try:
        trials = bed.trials()
    except StudyError:
        return False
    owed = [t for t in trials if t.state in (TrialState.WAITING, TrialState.RUNNING)]
    # One that runs may be a dead worker's, which by the time of the kill is begun again.
    retries = [
        t.user_attrs.get(attrs.RETRY_OF, {"retries": 0})["retries"]
        + (t.state is TrialState.RUNNING)
        for t in owed
    ]
    return max(retries, default=0) >= MOST_RETRIES
