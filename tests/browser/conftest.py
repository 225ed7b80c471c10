"""Real Chromium over its debugging pipe, and a study that a running worker writes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

MOST_SHOWN = 1600
"""Pixels from the top that a screenshot keeps."""
OPTIMIZER = [sys.executable, "-m", "optimizer.cli.main"]


class Chromium:
    """One page of a headless browser; see https://chromedevtools.github.io/devtools-protocol/."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs, self._to = os.pipe()
        self._from, ours = os.pipe()
        options = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe"
        command = f'exec "{program}" {options} "--user-data-dir={profile}" 3<&{theirs} 4>&{ours}'
        self.process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(theirs, ours), stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(ours)
        self._rest, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._from, 1 << 16)
            assert chunk, "Chromium ended"
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(self, url: str, *, width: int, dark: bool = False) -> None:
        # What the page before still asks for, a live dashboard say, is none of the new one's doing.
        self.call("Page.navigate", url="about:blank")
        self.wait_for("document.readyState === 'complete' && location.href === 'about:blank'")
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, script: str) -> Any:
        """What a JavaScript expression is worth; promises are waited for."""
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({script})"):
            assert time.monotonic() < end, (
                f"never true: {script}\n{self.value('document.body.innerText')}"
            )
            time.sleep(0.1)

    def requests(self) -> list[str]:
        """Addresses the page asked for, but those that hold their data themselves."""
        asked = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [str(params["request"]["url"]) for params in asked]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def complaints(self) -> list[Any]:
        """Errors and warnings on the console, and uncaught exceptions."""
        serious = ("error", "warning")
        found = []
        for event in self.events:
            method, params = event["method"], event.get("params", {})
            is_logged = method == "Log.entryAdded" and params["entry"]["level"] in serious
            is_written = method == "Runtime.consoleAPICalled" and params["type"] in serious
            if method == "Runtime.exceptionThrown" or is_logged or is_written:
                found.append(params)
        return found

    def press(self, key: str) -> None:
        """A key, down and up."""
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key]
            )

    def screenshot(self, path: Path) -> None:
        """The top of the page as PNG of few colours: pictures of it lie in the repository."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(BytesIO(b64decode(shot["data"]))) as image:
            top = image.convert("RGB").crop((0, 0, image.width, min(image.height, MOST_SHOWN)))
        top.quantize(128).save(path, optimize=True)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser; tests that need one are skipped where none is installed."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    browser = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def optimizer() -> list[str]:
    """The command under test."""
    return OPTIMIZER


@pytest.fixture(scope="session")
def live_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A demo study file whose worker has finished a trial and goes on with others."""
    folder = tmp_path_factory.mktemp("live")
    subprocess.run([*OPTIMIZER, "demo", str(folder)], check=True, stdout=subprocess.DEVNULL)
    study = folder / "studies" / "demo_sd15.toml"
    worker = subprocess.Popen([*OPTIMIZER, "run", str(study)], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: trials_done(study) >= 2, worker)
        yield study
    finally:
        worker.send_signal(signal.SIGINT)
        worker.wait(120)


def trials_done(study: Path) -> int:
    """As `optimizer status` counts them; 0 before the database is there."""
    told = subprocess.run([*OPTIMIZER, "status", str(study), "--json"], capture_output=True)
    return int(json.loads(told.stdout)["trials_done"]) if told.returncode == 0 else 0


def wait_until(done: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    """Until something is so; fails at once when the worker has ended."""
    while not done():
        assert worker.poll() is None, "the worker ended"
        time.sleep(1)
