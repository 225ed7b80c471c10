"""`optimizer doctor` as people see it."""

import time
from collections.abc import Iterator
from dataclasses import replace

from rich.table import Table
from rich.text import Text

from optimizer.config.study import StudyConfig
from optimizer.errors import InputError
from optimizer.report.machine import examine_machine
from optimizer.report.tables import console
from optimizer.storage.database import storage_url
from optimizer.study.doctor import Finding, examine, put_right
from optimizer.study.open import load_existing

_STYLES = {"ok": "green", "note": "cyan", "problem": "bold red"}


def consult(config: StudyConfig | None, *, fix: bool) -> list[Finding]:
    """Look at the machine and at a study; put right what can safely be if `fix`.

    What was put right is a note in what is returned.
    """
    findings = list(examine_machine())
    if config is None:
        return findings
    of_study = list(_of_study(config))
    done = put_right(config, of_study) if fix else []
    return findings + [
        replace(f, level="note", sentence=f"put right: {f.sentence}") if f.sentence in done else f
        for f in of_study
    ]


def _of_study(config: StudyConfig) -> Iterator[Finding]:
    started = time.monotonic()
    url = storage_url(config.folder, config.study.storage)
    try:
        study = load_existing(config)
        study.get_trials(deepcopy=False)
    except InputError as error:
        yield Finding("database", "problem", str(error))
        return
    shown, seconds = url.render_as_string(hide_password=True), time.monotonic() - started
    yield Finding("database", "ok", f"{shown} answers in {1000 * seconds:.0f} ms")
    yield from examine(config, study)


def print_findings(findings: list[Finding]) -> None:
    """A line each, and whether --fix would put it right."""
    table = Table("check", "", "finding", "--fix")
    for finding in findings:
        level = Text(finding.level, style=_STYLES[finding.level])
        helps = "helps" if finding.fix and finding.level == "problem" else ""
        table.add_row(finding.check, level, Text(finding.sentence), helps)
    console.print(table)
    problems = sum(finding.level == "problem" for finding in findings)
    said = f"{problems} problem{'s' if problems > 1 else ''}" if problems else "all is well"
    console.print(said, highlight=False)
