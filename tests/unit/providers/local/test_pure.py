"""Settings, choice of hosts, leases and the judgement of a host: pure parts of provider `local`."""

from typing import Any

import pytest
from pydantic import ValidationError

from rayfleet.contracts import LaunchRequest
from rayfleet.model import CPU, GPU, Market, OfferKey, Pool, Resources
from rayfleet.providers.local import PROVIDER, Settings
from rayfleet.providers.local.choosing import fitting, places
from rayfleet.providers.local.lease import Lease, holder, parse
from rayfleet.providers.local.preflight import GIB, Expected, judge, read
from rayfleet.providers.local.scripts import answers


def settings(**told: Any) -> Settings:
    return Settings.model_validate(told)


# ---- settings --------------------------------------------------------------------------------------------------------


def test_the_kind_says_what_hosts_of_ones_own_are() -> None:
    assert (PROVIDER.name, PROVIDER.remote, PROVIDER.keeps_hosts, PROVIDER.standby) == ("local", True, True, ())


def test_rays_own_section_is_read() -> None:
    told = settings(head_ip="10.0.0.1", worker_ips=["10.0.0.2", "node-3"], external_head_ip="1.2.3.4")
    hosts = told.all_hosts()
    assert [(host.address, host.head) for host in hosts] == [("10.0.0.1", True), ("10.0.0.2", False), ("node-3", False)]
    assert hosts[0].external_address == "1.2.3.4"
    assert told.worker_hosts("any") == 2
    assert settings(head_ip="h", worker_ips=None).worker_hosts("any") == 0


def test_hosts_may_say_more_about_those_above_or_be_more() -> None:
    told = settings(
        head_ip="h",
        worker_ips=["a", "b"],
        hosts=[{"address": "b", "pool": "big", "resources": {"CPU": 64}}, {"address": "c", "ssh_user": "me"}],
    )
    assert [(host.address, host.pool, host.ssh_user) for host in told.all_hosts()] == [
        ("h", None, None),
        ("a", None, None),
        ("b", "big", None),
        ("c", None, "me"),
    ]
    assert told.worker_hosts("big") == 3
    assert told.worker_hosts("small") == 2


def test_without_a_host_of_its_own_the_head_takes_one() -> None:
    assert settings(hosts=[{"address": "a"}, {"address": "b"}]).worker_hosts("p") == 1


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "names no host"),
        ({"head_ip": "a", "worker_ips": ["a"]}, "a host is one machine"),
        ({"worker_ips": ["a", "b", "a"]}, "a is named twice"),
        ({"hosts": [{"address": "a"}, {"address": "a"}]}, "a is named twice"),
        ({"head_ip": "a", "hosts": [{"address": "b", "head": True}]}, "only be on one of a, b"),
        ({"coordinator_address": "http://c"}, "coordinator_address"),
        ({"hosts": [{"address": "a", "labels": {"rack": "1"}}]}, "give such hosts a type of their own"),
        ({"worker_ips": ["a; rm -rf /"]}, "worker_ips"),
        ({"worker_ips": ["-oProxyCommand=x"]}, "worker_ips"),
        ({"worker_ips": ["a"], "worker_ip": ["b"]}, "worker_ip"),
    ],
)
def test_a_section_that_makes_no_sense_says_why(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**told)


# ---- choosing --------------------------------------------------------------------------------------------------------


def request(head: bool = False, **resources: float) -> LaunchRequest:
    pool = Pool("p", Resources.of(resources))
    return LaunchRequest("b1", OfferKey("p"), pool, ("c1", "c2"), hosts=2, head=head)


def chosen(told: Settings, asked: LaunchRequest) -> list[str]:
    return [host.address for host in fitting(told.all_hosts(), asked)]


def test_the_head_goes_where_it_is_told_and_workers_elsewhere() -> None:
    told = settings(head_ip="h", worker_ips=["a", "b"])
    assert chosen(told, request(head=True)) == ["h"]
    assert chosen(told, request()) == ["a", "b"]
    assert chosen(settings(worker_ips=["a", "b"]), request(head=True)) == ["a", "b"]


def test_the_smallest_host_that_is_large_enough_comes_first() -> None:
    told = settings(
        worker_ips=["unknown"],
        hosts=[
            {"address": "gpu", "resources": {CPU: 8, GPU: 1}},
            {"address": "big", "resources": {CPU: 64}},
            {"address": "small", "resources": {CPU: 8}},
            {"address": "tiny", "resources": {CPU: 2}},
            {"address": "ours", "pool": "p"},
            {"address": "theirs", "pool": "q", "resources": {CPU: 8}},
        ],
    )
    assert chosen(told, request(CPU=4)) == ["ours", "small", "big", "gpu", "unknown"]
    assert chosen(told, request(CPU=4, GPU=1)) == ["ours", "gpu", "unknown"]


def test_every_host_of_every_claim_has_a_place_of_its_own() -> None:
    assert places(request()) == ("c1/0", "c1/1", "c2/0", "c2/1")


# ---- leases ----------------------------------------------------------------------------------------------------------


def test_a_lease_is_read_as_it_was_written() -> None:
    offer = OfferKey("p", "local", None, "z", Market.SPOT)
    lease = Lease('h-"1', "c", "b", "c1/0", offer, head=True, since=12.5, boot="x")
    assert parse(lease.to_text()) == lease
    assert lease.sign in lease.to_text()
    assert "\n" not in lease.to_text()
    assert holder(lease.to_text()) == "cluster c"


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"offer": 3}'])
def test_what_is_no_lease_of_ours_is_somebodys(text: str) -> None:
    assert parse(text) is None
    assert "cannot be read" in holder(text)


def test_answers_are_found_among_what_else_a_shell_prints() -> None:
    lines = [
        "Welcome!",
        "rayfleet boot abc",
        "rayfleet disk /tmp 12",
        "rayfleet disk / 3",
        "rayfleetx y",
        "rayfleet ports",
    ]
    assert answers(lines) == {"boot": ["abc"], "disk": ["/tmp 12", "/ 3"], "ports": [""]}


# ---- pre-flight ------------------------------------------------------------------------------------------------------

HEALTHY = (
    "rayfleet boot b",
    "rayfleet now 1000.5",
    "rayfleet python 3.11.7",
    "rayfleet ray 2.60.0",
    "rayfleet disk /home/a b 50000000",
    "rayfleet ports 0016 18EB",
    "rayfleet sudo yes",
    "rayfleet cpus 8",
    "rayfleet memory 1024",
    "rayfleet program rsync",
)
EXPECTED = Expected(1000, 1001, python="3.11.2", ray="2.60.0")


def found(*without: str, add: str = "", **expected: Any) -> list[tuple[str, bool]]:
    """Judge a healthy host without some answers."""
    lines = [line for line in HEALTHY if line.split()[1] not in without]
    facts = read([*lines, f"rayfleet {add}"] if add else lines)
    assert facts is not None
    judged = judge(facts, Expected(**({"asked_at": 1000, "answered_at": 1001} | expected)))
    return [(finding.what, finding.fatal) for finding in judged]


def test_a_healthy_host_has_no_finding() -> None:
    facts = read(HEALTHY)
    assert facts is not None
    assert judge(facts, EXPECTED) == ()
    assert (facts.cpus, facts.memory_bytes, facts.ports) == (8, 1024 * 1024, frozenset({22, 6379}))
    assert facts.disk_free_bytes == (("/home/a b", 50000000 * 1024),)


@pytest.mark.parametrize("lines", [(), ("what is bash?",), ("rayfleet boot b", "rayfleet now soon")])
def test_what_is_no_answer_is_none(lines: tuple[str, ...]) -> None:
    assert read(lines) is None


def test_each_thing_is_judged_by_what_is_demanded() -> None:
    assert found("python") == [("python", False)]
    assert found("python", python_needed=True) == [("python", True)]
    assert found(python="3.12.1") == [("python", False)]
    assert found(python="3.11.1") == []
    assert found("ray", ray_needed=True) == [("ray", True)]
    assert found(ray="2.59.0") == [("ray", False)]
    assert found("sudo") == [("sudo", False)]
    assert found("sudo", sudo_needed=True) == [("sudo", True)]
    assert found("program") == [("rsync", False)]
    assert found(ports=(6379, 8265)) == [("ports", True)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("999.5", []),
        ("1001.9", []),
        ("995", [("clock", False)]),
        ("939", [("clock", True)]),
        ("1062", [("clock", True)]),
    ],
)
def test_a_clock_is_judged_by_the_time_between_question_and_answer(now: str, expected: list[tuple[str, bool]]) -> None:
    assert found("now", add=f"now {now}") == expected


def test_the_fatal_comes_first_and_says_how_much() -> None:
    facts = read([*(line for line in HEALTHY if "sudo" not in line), "rayfleet disk /tmp 1000"])
    assert facts is not None
    first, second = judge(facts, Expected(1000, 1001, disk_free_min_bytes=2 * GIB))
    assert (first.what, first.text) == ("disk", "/tmp has 0.0 GiB free, less than 2")
    assert second.what == "sudo"
