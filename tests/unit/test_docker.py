"""The Docker files, held to their rules without an engine."""

import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"

SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "build": {"type": "object", "required": ["context", "dockerfile"]},
        "command": {"type": "array", "items": {"type": "string"}},
        "entrypoint": {"type": "array", "items": {"type": "string"}},
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "volumes": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"},
        },
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:"}},
        "healthcheck": {"type": "object", "required": ["test", "interval", "retries"]},
        "depends_on": {"type": "object"},
        "deploy": {"type": "object"},
    },
    "anyOf": [{"required": ["image"]}, {"required": ["build"]}],
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["services", "volumes"],
    "properties": {
        "services": {"type": "object", "additionalProperties": SERVICE},
        "volumes": {"type": "object"},
    },
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


def test_compose_fits_the_schema_and_publishes_on_loopback_only(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, SCHEMA)


def test_database_is_kept_checked_and_not_published(compose: dict[str, Any]) -> None:
    database = compose["services"]["postgres"]
    assert "ports" not in database
    assert database["volumes"][0].split(":")[0] in compose["volumes"]
    assert "pg_isready" in database["healthcheck"]["test"][-1]


def test_others_wait_for_a_healthy_database(compose: dict[str, Any]) -> None:
    for name in ("dashboard", "worker"):
        waits = compose["services"][name]["depends_on"]["postgres"]
        assert waits == {"condition": "service_healthy"}


def test_the_worker_takes_every_card(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert not {"ports", "container_name"} & set(worker)
    device = worker["deploy"]["resources"]["reservations"]["devices"][0]
    assert (device["driver"], device["count"]) == ("nvidia", "all")


def test_password_only_comes_from_the_environment() -> None:
    for path in DOCKER.iterdir():
        for match in re.finditer(r"(?<!\{)POSTGRES_PASSWORD *[:=] *(\S+)", path.read_text()):
            assert match.group(1).startswith(("${", "...")), path


def instructions() -> list[tuple[str, str]]:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    found = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, rest in found]


def test_image_is_cuda_and_runs_as_an_ordinary_user() -> None:
    steps = instructions()
    assert steps[0][1].startswith("nvidia/cuda:")
    assert [rest for name, rest in steps if name == "USER"][-1] == "optimizer"


def test_every_run_step_is_a_script_that_is_here() -> None:
    for name, rest in instructions():
        if name == "RUN":
            script = DOCKER / Path(rest.split()[0]).name
            assert script.is_file(), rest


@pytest.mark.parametrize("script", sorted(DOCKER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_valid_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


def test_install_script_says_what_it_wants() -> None:
    ended = subprocess.run(["sh", DOCKER / "install.sh"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "usage:" in ended.stderr


@pytest.mark.slow
def test_install_script_installs_a_command_that_runs(tmp_path: Path) -> None:
    subprocess.run(["sh", DOCKER / "install.sh", tmp_path / "venv"], check=True)
    command = [tmp_path / "venv" / "bin" / "optimizer", "--version"]
    assert "lora-optimizer" in subprocess.run(command, capture_output=True, text=True).stdout
