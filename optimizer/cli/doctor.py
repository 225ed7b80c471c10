"""`optimizer doctor`: what is wrong with this machine or a study."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY.toml]", help="The machine alone if not given.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Put right what is safe, also beside running workers.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Look at versions, cards, attention, database, orphans, duplicates, files and disk.

    Nothing is deleted and no running trial is touched, with --fix either. Exit code 1 if a problem
    remains.
    """
    from optimizer.config.study import load_study
    from optimizer.report.doctor import consult, print_findings

    findings = consult(load_study(study) if study else None, fix=fix)
    if as_json:
        plain = [{"check": f.check, "level": f.level, "finding": f.sentence} for f in findings]
        typer.echo(json.dumps(plain, indent=2))
    else:
        print_findings(findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)
