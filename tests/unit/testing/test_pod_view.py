"""What a pretending kubelet writes of a pod: phase, conditions and container statuses, as a real one would."""

from typing import Any

import pytest

from rayfleet.testing.kubernetes.behaviour import Behaviour, Rule, Rules, image_pull_error, runs
from rayfleet.testing.kubernetes.nodes import Addresses, NodeSpec, node_object, numbered
from rayfleet.testing.kubernetes.pod_view import (
    Change,
    PodView,
    all_exit,
    evict,
    exits,
    fail_image,
    new_view,
    run,
    run_unready,
    status,
)

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def view(policy: str = "Always", containers: int = 2) -> PodView:
    """A pod of this many containers (ray, sidecar) and one init container, just bound."""
    names = ("ray", "sidecar")[:containers]
    spec = {
        "restartPolicy": policy,
        "containers": [{"name": name, "image": "i"} for name in names],
        "initContainers": [{"name": "wait", "image": "i"}],
    }
    return new_view({"spec": spec}, "10.244.0.2", "10.245.0.2", EARLY)


def after(start: PodView, *changes: Change) -> PodView:
    for change in changes:
        start = change(start, LATE)
    return start


@pytest.mark.parametrize(
    ("policy", "changes", "phase", "ready"),
    [
        ("Always", (), "Pending", False),
        ("Always", (fail_image,), "Pending", False),
        ("Always", (run,), "Running", True),
        ("Always", (run_unready,), "Running", False),
        ("Always", (run_unready, run), "Running", True),
        ("Always", (run, exits(1)), "Running", False),  # it waits to be started again
        ("Always", (run, exits(1), run), "Running", True),
        ("Never", (run, exits(1)), "Running", False),  # its sidecar still runs
        ("Never", (run, exits(1), run), "Running", False),
        ("Never", (run, exits(0), exits(0, container="sidecar")), "Succeeded", False),
        ("Never", (run, exits(0), exits(2, container="sidecar")), "Failed", False),
        ("OnFailure", (run, all_exit(0)), "Succeeded", False),
        ("OnFailure", (run, all_exit(1)), "Running", False),
        ("Always", (run, evict()), "Failed", False),
    ],
)
def test_phase_and_readiness_follow_from_the_containers(
    policy: str, changes: tuple[Change, ...], phase: str, ready: bool
) -> None:
    seen = after(view(policy), *changes)
    assert (seen.phase, seen.ready) == (phase, ready)


def test_a_restart_is_counted_and_remembers_how_it_ended() -> None:
    told = status(after(view(), run, exits(137, "OOMKilled"), run), {}, LATE)
    ray, sidecar = told["containerStatuses"]
    assert (ray["restartCount"], sidecar["restartCount"]) == (1, 0)
    assert ray["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert ray["state"] == {"running": {"startedAt": LATE}}


def test_init_containers_wait_until_the_others_start() -> None:
    def init(seen: PodView) -> Any:
        return status(seen, {}, LATE)["initContainerStatuses"][0]["state"]

    assert init(view()) == {"waiting": {"reason": "PodInitializing"}}
    assert init(after(view(), run))["terminated"]["exitCode"] == 0


def test_conditions_keep_when_they_last_changed() -> None:
    before = status(run_unready(view(), EARLY), {}, EARLY)
    told = {each["type"]: each for each in status(after(view(), run), before, LATE)["conditions"]}
    assert told["Ready"]["lastTransitionTime"] == LATE
    assert told["Initialized"]["lastTransitionTime"] == EARLY


def test_conditions_of_others_stay() -> None:
    gate = {"type": "example.com/gate", "status": "True", "lastTransitionTime": EARLY}
    assert gate in status(view(), {"conditions": [gate]}, LATE)["conditions"]


def test_an_evicted_pod_has_no_containers_left_to_tell_of() -> None:
    told = status(after(view(), run, evict("memory")), {}, LATE)
    assert (told["reason"], told["message"], told["containerStatuses"]) == ("Evicted", "memory", [])


# ---- rules, nodes, addresses -----------------------------------------------------------------------------------------


def test_of_several_rules_that_fit_the_last_one_counts() -> None:
    slow, bad = runs(after_s=5), image_pull_error()
    rules = Rules([Rule({"app": "a"}, slow), Rule({"app": "a", "gpu": "yes"}, bad)])
    assert rules.behaviour({"app": "a"}) is slow
    assert rules.behaviour({"app": "a", "gpu": "yes", "more": ""}) is bad
    assert rules.behaviour({"app": "b"}) == runs() != Behaviour()


def test_addresses_are_handed_out_once_and_taken_back() -> None:
    addresses = Addresses("10.244")
    first = [addresses.take() for _ in range(600)]
    assert first[0] == "10.244.0.2"
    assert len(set(first)) == 600
    assert not [address for address in first if address.endswith((".0", ".255"))]
    addresses.give_back(first[3])
    assert addresses.take() == first[3]


def test_an_address_that_a_pod_has_already_stays_its_own() -> None:
    addresses = Addresses("10.244")
    assert addresses.take("10.244.0.3") == "10.244.0.3"
    assert [addresses.take(), addresses.take()] == ["10.244.0.2", "10.244.0.4"]


def test_when_all_addresses_are_taken_it_says_so() -> None:
    addresses = Addresses("10.244")
    with pytest.raises(RuntimeError, match=r"10\.244\.0\.0/16"):
        [addresses.take() for _ in range(65_536)]


def test_a_node_offers_what_it_was_given() -> None:
    spec = NodeSpec("gpu", cpu="8", resources={"nvidia.com/gpu": "4"}, labels={"zone": "a"})
    (first, second) = numbered(2, spec)
    node = node_object(second, "10.245.0.3", EARLY)
    assert (first.name, node["metadata"]["name"]) == ("gpu-1", "gpu-2")
    assert node["metadata"]["labels"]["zone"] == "a"
    assert (node["status"]["allocatable"]["cpu"], node["status"]["allocatable"]["nvidia.com/gpu"]) == ("8", "4")
