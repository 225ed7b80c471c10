"""optuna-dashboard in a real browser, on a study whose worker is running."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optimizer.report.dashboard import HOST

pytestmark = pytest.mark.slow

HEADINGS = "[...document.querySelectorAll('th')]"
"""Of the table of all trials, which this dashboard has on its page Smart Selection."""
IS_CLIP_I = "e => e.innerText.startsWith('UserAttribute clip_i')"
COLUMN = f"""(() => {{
  const place = {HEADINGS}.findIndex({IS_CLIP_I});
  return [...document.querySelectorAll('tbody tr')]
    .map(row => row.children[place]?.innerText).filter(text => text && !isNaN(text)).map(Number);
}})()"""


@pytest.fixture(scope="module")
def dashboard(live_study: Path, optimizer: list[str]) -> Iterator[str]:
    """Address of the study's page, served by the command that people type."""
    command = [*optimizer, "dashboard", str(live_study), "--port", "18473"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert re.search(rf"http://{HOST}:18473", server.stdout.readline())
    yield f"http://{HOST}:18473/dashboard/studies/1"
    server.terminate()
    server.wait()


def keep(chromium: Any, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        chromium.screenshot(Path(folder) / f"{name}.png")


@pytest.mark.parametrize("width", [390, 1440])
def test_a_trial_shows_its_pictures_and_its_note(chromium: Any, dashboard: str, width: int) -> None:
    chromium.open(f"{dashboard}/trials?numbers=0", width=width)
    chromium.wait_for("document.querySelector('img[alt^=\"contact sheet of epoch\"]')")
    chromium.wait_for("[...document.images].every(image => image.naturalWidth > 0)")
    sheets = "[...document.querySelectorAll('img[alt^=\"contact sheet of epoch\"]')]"
    assert chromium.value(f"{sheets}.every(image => image.naturalWidth > 300)")
    shown = chromium.value("document.body.innerText")
    assert re.search(r"Objective 0\.\d+ ± 0\.\d+", shown)
    names = re.findall(r"epoch_\d{6}(?:_\d{3}_seed_\d+)?\.jpg", shown)
    assert names == sorted(names)
    assert "epoch_000004.jpg" in names and len(names) > 4
    assert "LoRA: " in shown and ".safetensors" in shown
    assert all(url.startswith(f"http://{HOST}:") for url in chromium.requests())
    keep(chromium, f"dashboard_trial_{width}")


def test_the_study_shows_its_note(chromium: Any, dashboard: str) -> None:
    chromium.open(f"{dashboard}/note", width=1440)
    chromium.wait_for("document.body.innerText.includes('Best: trial')")
    assert "optimizer run" in chromium.value("document.body.innerText")


def test_the_study_shows_our_figures_and_the_best_trial(chromium: Any, dashboard: str) -> None:
    chromium.open(dashboard, width=1440)
    title = "Objective by trial, 95 % intervals, seeds as diamonds"
    chromium.wait_for(f"document.body.textContent.includes('{title}')")
    chromium.wait_for("document.body.innerText.includes('Best Trial')")
    assert chromium.complaints() == []
    keep(chromium, "dashboard_study")


def test_the_table_sorts_by_clip_i(chromium: Any, dashboard: str) -> None:
    chromium.open(f"{dashboard}/smartSelection", width=1440)
    chromium.wait_for(f"{COLUMN}.length >= 2")
    seen = set()
    for _ in range(2):
        chromium.value(f"{HEADINGS}.find({IS_CLIP_I}).querySelector('[role=button]').click()")
        values = tuple(chromium.value(COLUMN))
        assert values in {tuple(sorted(values)), tuple(sorted(values, reverse=True))}
        seen.add(values[0] < values[-1])
    assert seen == {False, True}
    keep(chromium, "dashboard_table")
