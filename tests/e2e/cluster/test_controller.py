"""The controller refused, killed, replaced and forgotten: the cluster survives each, and its end is complete."""

import json
import os
import signal
from pathlib import Path

import pytest
from tests.e2e.cluster.fleet import Fleet, config

pytestmark = pytest.mark.ray

NAME = "kept"


@pytest.fixture(scope="module", autouse=True)
def up(fleet: Fleet) -> Path:
    """Bring a cluster with one worker up and return its file."""
    path = config(fleet.folder, NAME)
    text = path.read_text().replace("idle_timeout_minutes: 0.05", "idle_timeout_minutes: 5")
    path.write_text(text.replace("max_workers: 3}", "min_workers: 1, max_workers: 3}"))
    assert fleet.json("up", path)["workers"] == 1
    return path


def kill_controller(fleet: Fleet) -> int:
    """End the controller as a crash would, and return who it was."""
    pid = fleet.controller(NAME)
    os.kill(pid, signal.SIGKILL)
    fleet.wait(lambda: fleet.json("list")[0]["state"] == "no controller")
    return pid


def machine_ids(fleet: Fleet) -> dict[str, str]:
    """Return machine -> the provider's id of it, which no restarted machine shares."""
    return {m["id"]: m["machine_id"] for m in fleet.json("status", NAME)["machines"]}


def test_the_minimum_was_waited_for(fleet: Fleet) -> None:
    assert list(fleet.machines(NAME, "one").values()) == ["READY"]


def test_a_second_controller_refuses_and_names_the_first(fleet: Fleet) -> None:
    second = fleet("controller", "--cluster", NAME, check=False)
    assert second.returncode == 2
    assert f"controlled already: controller, process {fleet.controller(NAME)} on " in second.stderr


def test_up_again_finds_all_as_it_is(fleet: Fleet, up: Path) -> None:
    before, pid = machine_ids(fleet), fleet.controller(NAME)
    fleet("up", up)
    assert (machine_ids(fleet), fleet.controller(NAME)) == (before, pid)


def test_without_its_controller_it_is_said_and_nothing_can_be_ordered(fleet: Fleet) -> None:
    before = machine_ids(fleet)
    pid = kill_controller(fleet)
    assert "the controller of kept is gone" in fleet("status").stdout
    refused = fleet("scale", "one", "2", check=False)
    assert (refused.returncode, "has no controller\n hint: rayfleet up kept" in refused.stderr) == (2, True)
    assert fleet("doctor", check=False).returncode == 1
    fleet("up", NAME)
    assert machine_ids(fleet) == before
    assert fleet.controller(NAME) != pid


def test_a_note_of_a_pid_that_now_is_another_process_is_no_controller(fleet: Fleet) -> None:
    before = machine_ids(fleet)
    kill_controller(fleet)
    note = fleet.home(NAME).controller
    told = json.loads(note.read_text())
    told["process"]["pid"] = os.getpid()
    note.write_text(json.dumps(told))
    fleet("up", NAME)
    assert machine_ids(fleet) == before


def test_a_changed_file_is_applied_and_machines_stay(fleet: Fleet, up: Path) -> None:
    """Also when nobody waits for it: Ctrl-C ends the waiting."""
    before, pid = machine_ids(fleet), fleet.controller(NAME)
    up.write_text(up.read_text().replace("min_workers: 1", "min_workers: 2"))
    with fleet.begun("up", up) as command:
        fleet.wait(lambda: fleet.home(NAME).controller.exists() and fleet.controller(NAME) != pid)
        assert "interrupted; cluster kept keeps running" in fleet.interrupted(command)
    assert command.returncode == 130
    assert fleet.json("up", up)["workers"] == 2
    after = machine_ids(fleet)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert fleet.controller(NAME) != pid


def test_a_broken_file_changes_nothing(fleet: Fleet, up: Path) -> None:
    before, good = machine_ids(fleet), up.read_text()
    up.write_text(good.replace("max_workers: 4", "max_wrokers: 4"))
    refused = fleet("up", up, check=False)
    up.write_text(good)
    assert refused.returncode == 2
    assert "did you mean max_workers?" in refused.stderr
    assert machine_ids(fleet) == before


def test_down_works_without_a_controller_and_leaves_nothing(fleet: Fleet) -> None:
    kill_controller(fleet)
    ended = fleet.json("down", NAME)
    assert (ended["ok"], ended["released"], ended["left_behind"]) == (True, 3, [])
    fleet.assert_nothing_is_left(NAME)
    again = fleet.json("down", NAME)
    assert (again["ok"], again["released"]) == (True, 0)
    assert "no cluster is up" in fleet("down").stdout
    assert fleet.json("history", NAME, "-n", "5") != []
