"""What somebody does on the dashboard while a trial runs, by its own HTTP interface."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from optimizer.report.dashboard import dashboard_server
from optimizer.trial import attrs

from .bed import Bed, seeds

TRIALS = 4
WAITING = {"faults": {"1": "wait"}}


@contextmanager
def dashboard(bed: Bed) -> Iterator[Callable[..., Any]]:
    """Requests to a dashboard of the study: `ask("POST", "api/trials/1/tell", state="Fail")`."""
    with dashboard_server(bed.config, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(method: str, path: str, **body: Any) -> Any:
            request = urllib.request.Request(
                f"http://127.0.0.1:{server.server_port}/{path}",
                method=method,
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read() or b"null")

        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("told", [{"state": "Complete", "values": [0.99]}, {"state": "Fail"}])
def test_a_trial_told_on_the_dashboard_while_it_runs(
    told: dict[str, Any], make_bed: Callable[..., Bed], database: str | None
) -> None:
    bed = make_bed(database, plan=WAITING | {"seeds": seeds(2)}, n_trials=TRIALS)
    worker = bed.start()
    bed.await_event("waiting")
    with dashboard(bed) as ask:
        running = bed.trials()[1]
        ask("POST", f"api/trials/{running._trial_id}/tell", **told)
    bed.go_on()
    code, complaint = bed.end_of(worker)
    assert code == 0, complaint
    assert "trial 1 was ended from outside" in complaint
    bed.check(TRIALS)
    bed.check_seeds(seeds(2))
    again = next(t for t in bed.trials() if attrs.RESULT_OF in t.user_attrs)
    assert again.user_attrs[attrs.RESULT_OF] == 1


def test_a_study_deleted_on_the_dashboard_while_it_runs(
    make_bed: Callable[..., Bed], database: str | None
) -> None:
    bed = make_bed(database, plan=WAITING, n_trials=TRIALS)
    worker = bed.start()
    bed.await_event("waiting")
    with dashboard(bed) as ask:
        (study,) = ask("GET", "api/studies")["study_summaries"]
        ask("DELETE", f"api/studies/{study['study_id']}")
    bed.go_on()
    code, complaint = bed.end_of(worker)
    assert (code, complaint.count("error: ")) == (2, 1)
    assert "study small was deleted from its database while it ran" in complaint
    kept = json.loads((bed.config.folder / "trial_0000" / "result.json").read_bytes())
    assert kept["outcome"] == "complete"
    code, complaint = bed.run()
    assert (code, "move the folder away" in complaint) == (2, True)
