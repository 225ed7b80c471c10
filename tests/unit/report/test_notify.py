"""Messages arrive at a real HTTP server, and never hurt a trial."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from optimizer.config.study import StudyConfig
from optimizer.errors import ConfigError, StudyStoppedError
from optimizer.report.audiences import Audiences
from optimizer.report.notify import Notifier
from optimizer.study.loop import StudyResult

Make = Callable[..., StudyConfig]
RunTold = Callable[..., Any]


class Mailbox(HTTPServer):
    """Keeps what is posted, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[dict[str, Any]] = []
        self.status = 200

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


class _Handler(BaseHTTPRequestHandler):
    server: Mailbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.messages.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with Mailbox() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("MAILBOX", f"json://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_a_new_best_and_the_end_are_told(
    make_study: Make, run_told: RunTold, mailbox: Mailbox
) -> None:
    config = make_study()
    notifier = Notifier(config, ["env:MAILBOX"])
    notifier.tell_the_end(lambda: run_told(config, [0.5, 0.4, 0.7], Audiences((notifier,))))
    assert mailbox.titles == ["small: new best 0.500", "small: new best 0.700", "small: done"]
    assert "learning_rate" in mailbox.messages[0]["message"]
    assert "Best: trial 2, 0.700 ± 0.010" in mailbox.messages[-1]["message"]


def test_the_third_failure_in_a_row_is_told_once(
    make_study: Make, run_told: RunTold, mailbox: Mailbox
) -> None:
    config = make_study()
    notifier = Notifier(config, ["env:MAILBOX"])
    endings = ["bad_pictures", "bad_pictures", 0.5, *["bad_pictures"] * 4]
    run_told(config, endings, Audiences((notifier,)))
    assert mailbox.titles == ["small: new best 0.500", "small: 3 trials in a row gave no score"]
    assert "Trial 5: bad_pictures: it was <bad_pictures>" in mailbox.messages[1]["message"]


def test_a_study_that_gives_up_says_why(make_study: Make, mailbox: Mailbox) -> None:
    def give_up() -> StudyResult:
        raise StudyStoppedError("3 trials in a row failed")

    with pytest.raises(StudyStoppedError):
        Notifier(make_study(), ["env:MAILBOX"]).tell_the_end(give_up)
    assert mailbox.titles == ["small: stopped"]
    assert mailbox.messages[0]["message"] == "3 trials in a row failed"


def test_a_messenger_that_refuses_hurts_nothing(
    make_study: Make, run_told: RunTold, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_study()
    mailbox.status = 500
    result = run_told(config, [0.5, 0.6], Audiences((Notifier(config, ["env:MAILBOX"]),)))
    assert result.best.number == 1
    assert len(mailbox.messages) == 2
    assert "could not be sent to everybody" in caplog.text


def test_a_messenger_that_is_gone_hurts_nothing(
    make_study: Make, run_told: RunTold, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_study()
    monkeypatch.setenv("GONE", "json://127.0.0.1:9")
    result = run_told(config, [0.5], Audiences((Notifier(config, ["env:GONE"]),)))
    assert result.best.number == 0


def test_wrong_addresses_are_refused_together_and_never_shown(
    make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG", "nonsense://secret")
    with pytest.raises(ConfigError) as caught:
        Notifier(make_study(), ["env:WRONG", "env:UNSET_VARIABLE", "json://user:secret@host"])
    assert len(caught.value.problems) == 3
    assert "UNSET_VARIABLE is not set" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_addresses_nothing_is_sent(make_study: Make, run_told: RunTold) -> None:
    config = make_study()
    notifier = Notifier(config, ())
    notifier.tell_the_end(lambda: run_told(config, [0.5], Audiences((notifier,))))
    assert notifier.apprise is None


class Breaking:
    """A messenger with a bug, whose complaint holds its address."""

    def notify(self, **message: str) -> bool:
        raise ValueError("https://discord.com/api/webhooks/1/sesame")


def test_a_messenger_with_a_bug_hurts_nothing_and_tells_no_secret(
    make_study: Make, run_told: RunTold, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_study()
    notifier = Notifier(config, ["env:MAILBOX"])
    notifier.apprise = Breaking()  # type: ignore[assignment]
    result = notifier.tell_the_end(lambda: run_told(config, [0.5], Audiences((notifier,))))
    assert result.best is not None
    assert "'done' could not be sent (ValueError); the study goes on" in caplog.text
    assert "sesame" not in caplog.text
