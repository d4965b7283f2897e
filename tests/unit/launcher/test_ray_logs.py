"""Which node and which log is meant, and what of it is shown."""

import pytest

from rayfleet.contracts.state import NodeState
from rayfleet.launcher import ray_logs
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.ray_logs import Wanted
from rayfleet.testing.fake_state import FakeState

HEAD, W1, W2, GONE = "a1" * 28, "b1" * 28, "b2" * 28, "c1" * 28


def state() -> FakeState:
    return FakeState(
        node_rows=[
            NodeState(HEAD, "10.0.0.1", is_head_node=True, state="ALIVE"),
            NodeState(W1, "10.0.0.2", instance_id="m1", state="ALIVE"),
            NodeState(W2, "10.0.0.3", node_name="second", state="ALIVE"),
            NodeState(GONE, "10.0.0.3", state="DEAD"),
        ],
        logs={HEAD: {"gcs.out": ["a", "b", "Error c"]}, W1: {"raylet.out": ["x"], "raylet.err": ["error y", "z"]}},
    )


@pytest.mark.parametrize(
    ("word", "node"),
    [("", HEAD), (W1, W1), ("b1", W1), ("m1", W1), ("10.0.0.2", W1), ("second", W2), ("10.0.0.3", W2)],
)
async def test_a_node_goes_by_several_names(word: str, node: str) -> None:
    """Of two nodes on one machine the living one is meant."""
    assert (await ray_logs.find_node(state(), word)).node_id == node


@pytest.mark.parametrize(
    ("word", "message"),
    [("b", "may be each of 2 nodes"), ("c1", "is DEAD: nobody reads"), ("zz", "there is no node zz")],
)
async def test_a_node_that_is_not_one(word: str, message: str) -> None:
    with pytest.raises(LauncherError, match=message):
        await ray_logs.find_node(state(), word)


async def test_without_a_head_there_is_no_default() -> None:
    with pytest.raises(LauncherError, match="no head is alive"):
        await ray_logs.find_node(FakeState(), "")


async def test_files_and_lines() -> None:
    wanted = Wanted("m1", "raylet*", lines=1)
    files = await ray_logs.find(state(), wanted)
    assert [file.name for file in files.files] == ["raylet.err", "raylet.out"]
    found = await ray_logs.read(state(), wanted, files)
    assert [(text.name, text.lines, text.cut) for text in found] == [
        ("raylet.err", ("z",), True),
        ("raylet.out", ("x",), False),
    ]


async def test_the_whole_file_is_searched() -> None:
    wanted = Wanted(pattern="gcs.out", lines=1, search="ERROR")
    found = await ray_logs.read(state(), wanted, await ray_logs.find(state(), wanted))
    assert (found[0].lines, found[0].cut) == (("Error c",), False)


async def test_a_file_that_is_not_there() -> None:
    with pytest.raises(LauncherError, match=r"has no log gcs\.outt") as error:
        await ray_logs.find(state(), Wanted(pattern="gcs.outt"))
    assert error.value.hint == "did you mean gcs.out?"


async def test_one_file_is_followed() -> None:
    wanted = Wanted(pattern="gcs.out", search="error")
    files = await ray_logs.find(state(), wanted)
    assert [line async for line in ray_logs.follow(state(), wanted, files)] == ["Error c"]
    both = await ray_logs.find(state(), Wanted("m1"))
    with pytest.raises(LauncherError, match="2 match"):
        assert [line async for line in ray_logs.follow(state(), wanted, both)]
