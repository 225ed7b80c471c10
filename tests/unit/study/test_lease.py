"""Leases: the living are left alone, the dead are known at once, of strangers nothing is said."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from optimizer.study.lease import Lease

SIGN = """
import json
from optimizer.study.lease import Lease
print(json.dumps(Lease.mine().as_dict()), flush=True)
input()
"""


@pytest.fixture
def worker() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SIGN]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def lease_of(worker: subprocess.Popen[str]) -> Lease:
    assert worker.stdout is not None
    return Lease(**json.loads(worker.stdout.readline()))


def test_a_lease_survives_the_database() -> None:
    mine = Lease.mine()
    assert Lease(**mine.as_dict()) == mine
    assert mine.pid == os.getpid()


def test_a_worker_is_alive_until_it_is_killed(worker: subprocess.Popen[str]) -> None:
    lease = lease_of(worker)
    assert not lease.is_dead()
    worker.send_signal(signal.SIGKILL)
    # Not waited for yet: a zombie, as a container without an init keeps them.
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert lease.is_dead()
    worker.communicate()
    assert lease.is_dead()


def test_a_process_id_that_was_given_anew_is_not_the_holder() -> None:
    assert replace(Lease.mine(), started=Lease.mine().started - 3600).is_dead()


def test_nothing_outlives_a_boot() -> None:
    assert replace(Lease.mine(), boot_id="before").is_dead()


def test_of_other_hosts_nothing_is_certain() -> None:
    assert not replace(Lease.mine(), host="elsewhere", boot_id="other", pid=2**30).is_dead()
