"""What `doctor` says of a cluster elsewhere before it is up, and of its head when it is."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.local_case import LocalCase

from rayfleet.launcher import home as homes
from rayfleet.launcher import suspension
from rayfleet.launcher.doctor import Finding, State
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.examine import Examined, examine
from rayfleet.launcher.spec import wanted
from rayfleet.launcher.suspension import Stage

HOSTS = {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2", "10.0.0.3"]}


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalCase:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return LocalCase(tmp_path, 3, head_ip="10.0.0.1", worker_ips=HOSTS["worker_ips"])


def look(case: LocalCase, tell: Callable[[Finding], None] = lambda _finding: None, **changes: Any) -> Examined:
    config = {
        "cluster_name": "one",
        "provider": HOSTS,
        "head_node_type": "head",
        "available_node_types": {"head": {"resources": {}}, "w": {"resources": {"CPU": 1}, "max_workers": 2}},
    }
    cluster = wanted(json.dumps({**config, **changes}), "one.yaml")
    return asyncio.run(examine(cluster, tell, case.ssh))


def test_every_host_has_a_line(case: LocalCase) -> None:
    case.hosts[1].ssh.down = True
    told: list[Finding] = []
    found = look(case, told.append)
    assert told == list(found.findings)
    states = {finding.what: finding.state for finding in told}
    assert states == {
        "SSH key": State.OK,
        "provider local": State.OK,
        "host 10.0.0.1 (head)": State.NOTE,
        "host 10.0.0.2": State.BAD,
        "host 10.0.0.3": State.NOTE,
    }
    (away,) = [finding for finding in told if finding.state is State.BAD]
    assert away.text == "10.0.0.2 does not answer"
    (noted,) = [finding for finding in told if finding.what == "host 10.0.0.3"]
    assert noted.text.startswith("Python none, Ray none, 8 CPUs, 15.3 GiB, 95.4 GiB free in /tmp; clock ")
    assert noted.hint == "there is no Python; Ray is not installed"
    answer = json.loads(json.dumps(found.as_json()))
    assert (answer["ok"], answer["cluster"]) == (False, "one")
    assert [(host["address"], host["usable"]) for host in answer["hosts"]] == [
        ("10.0.0.1", True), ("10.0.0.2", False), ("10.0.0.3", True),
    ]  # fmt: skip


def test_nothing_is_kept_of_it(case: LocalCase) -> None:
    """No folder of a cluster, no host key: the next `up` decides about those."""
    look(case)
    assert homes.known() == ()
    assert not homes.root().exists()


def test_a_key_that_cannot_be_read(case: LocalCase, tmp_path: Path) -> None:
    found = look(case, auth={"ssh_user": "me", "ssh_private_key": str(tmp_path / "none")})
    (key,) = [finding for finding in found.findings if finding.what == "SSH key"]
    assert (key.state, key.text) == (State.BAD, f"{tmp_path / 'none'} cannot be read: No such file or directory")
    assert not found.ok


def test_the_head_of_a_cluster_that_is_up(case: LocalCase) -> None:
    home = homes.create("one")
    home.write(home.config, "{}")
    notes.save(home, notes.Where("local", "m-1", "10.0.0.1", "10.0.0.1"))
    (head,) = [each for each in look(case).findings if each.what == "head m-1"]
    assert (head.state, head.text) == (State.OK, "lets us in at 10.0.0.1")
    case.hosts[0].ssh.refuses = True
    (head,) = [each for each in look(case).findings if each.what == "head m-1"]
    assert (head.state, head.hint.startswith("rayfleet up one looks after it")) == (State.BAD, True)


def test_a_cloud_is_not_asked_anything(case: LocalCase) -> None:
    """Only whether its clients are here."""
    found = look(case, provider={"type": "aws", "region": "us-west-2"}, available_node_types={
        "head": {"resources": {}, "node_config": {"InstanceType": "m5.large"}},
    })  # fmt: skip
    assert [(each.what, each.state) for each in found.findings] == [
        ("SSH key", State.OK), ("provider aws", State.OK),
    ]  # fmt: skip
    assert found.hosts == ()


def test_the_head_of_a_cluster_that_is_suspended_is_left_alone(case: LocalCase) -> None:
    """That it does not answer is no fault."""
    home = homes.create("one")
    home.write(home.config, "{}")
    notes.save(home, notes.Where("local", "m-1", "10.0.0.1", "10.0.0.1"))
    suspension.note(home, Stage.SUSPENDED)
    case.hosts[0].ssh.refuses = True
    (head,) = [each for each in look(case).findings if each.what.startswith("head")]
    assert (head.state, head.hint) == (State.NOTE, "rayfleet resume one")
    assert head.text.startswith("the cluster is suspended since 2")
