"""The report in a real browser, opened from disk."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

OVERFLOWING = """[...document.querySelectorAll('body *')]
    .filter(e => !e.closest('.wide, .skip, svg'))
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))"""
PALE = """(() => {
  const level = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(v => {
      v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor; if (!c.endsWith(', 0)')) return c; } };
  return [...document.querySelectorAll('h1, h2, h3, p, a, span, td, th, dt, dd, pre, figcaption')]
    .filter(e => e.offsetParent && e.innerText && ground(e))
    .map(e => { const a = level(getComputedStyle(e).color), b = level(ground(e));
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)]; })
    .filter(([contrast]) => contrast < 4.5); })()"""


@pytest.fixture(scope="module")
def page(live_study: Path, optimizer: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "ein Bericht.html"
    subprocess.run([*optimizer, "report", str(live_study), "--output", str(path)], check=True)
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_reads_well(chromium: Any, page: Path, width: int, dark: bool) -> None:
    chromium.open(page.as_uri(), width=width, dark=dark)
    assert chromium.requests() == [page.as_uri()]
    assert chromium.complaints() == []
    assert chromium.value("document.documentElement.scrollWidth") <= width
    assert chromium.value(OVERFLOWING) == []
    assert chromium.value(PALE) == []
    broken = "[...document.images].filter(i => !i.naturalWidth || !i.alt).length"
    assert chromium.value("document.images.length") > 8
    assert chromium.value(broken) == 0
    labels = chromium.value("[...document.images].map(image => image.alt.split(':')[0])")
    assert {"base model", "sd15 best", "second best"} <= set(labels)
    if keep := os.environ.get("SCREENSHOTS"):
        chromium.screenshot(Path(keep) / f"report_{width}_{'dark' if dark else 'light'}.png")


def test_the_keyboard_reaches_what_can_be_done(chromium: Any, page: Path) -> None:
    chromium.open(page.as_uri(), width=1440)
    reached = []
    for _ in range(6):
        chromium.press("Tab")
        reached.append(chromium.value("document.activeElement.tagName"))
    assert reached[0] == "A"
    assert {"BUTTON", "PRE"} <= set(reached)


def test_copy_takes_the_settings(chromium: Any, page: Path) -> None:
    chromium.open(page.as_uri(), width=1440)
    allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    chromium.call("Browser.grantPermissions", permissions=allowed)
    chromium.value("document.querySelector('.copy button').click()")
    chromium.wait_for("document.querySelector('.copy button').textContent !== 'Copy'")
    copied = chromium.value(
        "document.querySelector('.copy button').textContent === 'Copied'"
        " ? navigator.clipboard.readText() : getSelection().toString()"
    )
    assert copied.startswith("[training]")
    assert "learning_rate = " in copied
