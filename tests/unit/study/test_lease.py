"""Who holds a trial: only what is certainly dead is taken away from anybody."""

import json
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from optimizer.study.lease import Lease


@pytest.fixture
def ended() -> Lease:
    """The lease of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(process.pid).create_time()
    process.wait()
    return replace(Lease.mine(), pid=process.pid, started=started)


def test_ones_own_process_is_alive() -> None:
    assert not Lease.mine().is_dead()


def test_another_living_process_is_alive() -> None:
    parent = psutil.Process().parent()
    assert parent is not None
    assert not replace(Lease.mine(), pid=parent.pid, started=parent.create_time()).is_dead()


def test_a_process_that_is_gone_is_dead(ended: Lease) -> None:
    assert ended.is_dead()


def test_a_process_id_that_another_process_has_now_is_dead() -> None:
    mine = Lease.mine()
    assert replace(mine, started=mine.started - 3600).is_dead()


def test_a_process_from_before_the_machine_was_started_is_dead() -> None:
    assert replace(Lease.mine(), boot_id="an earlier boot").is_dead()


def test_of_another_host_nothing_is_certain(ended: Lease) -> None:
    elsewhere = replace(ended, host="another-host")
    assert not elsewhere.is_dead()
    assert not replace(elsewhere, boot_id="another boot").is_dead()


def test_a_killed_process_that_nobody_asked_after_is_dead() -> None:
    """In a container without an init process they stay in the table for ever."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    lease = replace(Lease.mine(), pid=process.pid, started=started)
    assert not lease.is_dead()
    process.kill()
    try:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert lease.is_dead()
    finally:
        process.communicate()


def test_a_lease_survives_the_database() -> None:
    mine = Lease.mine()
    assert Lease(**json.loads(json.dumps(mine.as_dict()))) == mine
