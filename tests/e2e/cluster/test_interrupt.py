"""Ctrl-C in the commands that start and end a cluster: a clear word, and nothing half done stays behind."""

import os
import signal

import pytest
from tests.e2e.cluster.fleet import LIMIT_S, Fleet, config

pytestmark = pytest.mark.ray


def test_in_up_it_undoes_what_was_begun(fleet: Fleet) -> None:
    name = "undone"
    with fleet.begun("up", config(fleet.folder, name)) as command:
        fleet.wait(fleet.home(name).controller.exists)
        errors = fleet.interrupted(command)
    assert command.returncode == 130
    assert "interrupted: ending what was started" in errors
    assert "was not started; nothing is left of it" in errors
    fleet.assert_nothing_is_left(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_in_the_foreground_it_ends_the_cluster_as_does_the_end_of_the_terminal(
    fleet: Fleet, number: signal.Signals
) -> None:
    name = "front"
    with fleet.begun("up", config(fleet.folder, name), "--foreground") as command:
        fleet.wait(lambda: fleet.home(name).history.exists() and "READY" in fleet.machines(name).values())
        command.send_signal(number)
        said = "".join(command.communicate(timeout=LIMIT_S))  # in a container, the log is on standard output
    assert (command.returncode, "Traceback" in said) == (0, False)
    assert "ending_cluster" in said
    fleet.assert_nothing_is_left(name)


def test_in_down_the_order_stands(fleet: Fleet) -> None:
    """The controller is held still meanwhile, so that the key is pressed before all is over."""
    name = "going"
    fleet("up", config(fleet.folder, name))
    controller = fleet.controller(name)
    os.kill(controller, signal.SIGSTOP)
    with fleet.begun("down", name) as command:
        fleet.wait(lambda: b"shutdown" in fleet.ledger_bytes(name))
        errors = fleet.interrupted(command)
    os.kill(controller, signal.SIGCONT)
    assert (command.returncode, "interrupted" in errors) == (130, True)
    fleet.wait(lambda: not fleet.home(name).is_up)
    fleet.assert_nothing_is_left(name)
