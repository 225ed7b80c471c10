"""The doctor's words and exit codes, by the command."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.cli.main import main
from optimizer.config.study import StudyConfig
from optimizer.report import machine
from optimizer.report.machine import examine_machine

Make = Callable[..., StudyConfig]


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache_home: Path
) -> Callable[..., tuple[int, str]]:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["optimizer", "doctor", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def test_a_machine_without_a_card_is_well(doctor: Callable[..., tuple[int, str]]) -> None:
    code, text = doctor("--json")
    found = {finding["check"]: finding for finding in json.loads(text)}
    assert code == 0
    assert "torch 2" in found["versions"]["finding"]
    assert found["8 bit"]["finding"] == "AdamW8bit makes a step"
    assert {"machine", "card", "attention", "cache"} <= set(found)


def test_a_study_that_was_broken_and_put_right(
    doctor: Callable[..., tuple[int, str]], make_study: Make, run_told: Callable[..., object]
) -> None:
    config = make_study()
    run_told(config, [0.3, 0.5])
    (config.folder / "best_params.json").unlink()
    code, text = doctor(config.path)
    assert code == 1
    assert "1 problem\n" in text
    assert "helps" in text
    code, text = doctor(config.path, "--fix")
    assert code == 0
    assert "put right: " in text
    assert doctor(config.path)[0] == 0


def test_a_study_that_is_not_there_is_a_problem(
    doctor: Callable[..., tuple[int, str]], make_study: Make
) -> None:
    code, text = doctor(make_study().path, "--json")
    assert code == 1
    assert "no study there yet" in json.loads(text)[-1]["finding"]


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(package: str) -> str:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(machine, "version", broken)
    found = {finding.check: finding for finding in examine_machine()}
    assert found["packages"].level == "problem"
    assert "could not be looked at: libcuda.so.1" in found["packages"].sentence
    assert found["machine"].level == "ok"
