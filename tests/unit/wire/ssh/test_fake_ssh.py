"""Pretended SSH says what the contract says, and breaks as it is told."""

from pathlib import Path

import pytest

from rayfleet.contracts import Login
from rayfleet.testing.fake_ssh import FakeSsh
from rayfleet.wire.ssh.session import Files, HostKeyChanged, LoginRefused, Ran, SshError, Target, Unreachable

TARGET = Target("h", Login("me"))


async def test_answers_are_found_by_a_part_of_the_command() -> None:
    ssh = FakeSsh()
    host = ssh.add("h")
    host.answers |= {"pip": Ran(1, ("no",)), "date": "one\ntwo", "exit": 3, "env": lambda asked: asked.env["A"]}
    session = await ssh.connect(TARGET)
    told: list[str] = []
    assert await session.run("pip install x") == Ran(1, ("no",))
    assert (await session.run("date", on_line=told.append)).lines == ("one", "two")
    assert told == ["one", "two"]
    assert (await session.run("exit 3")).code == 3
    assert (await session.run("env", env={"A": "a"}, stdin="in")).text == "a"
    assert await session.run("anything") == Ran(0, ())
    assert host.commands == ["pip install x", "date", "exit 3", "env", "anything"]
    assert (host.asked[3].stdin, host.asked[3].user) == ("in", "me")


async def test_files_are_kept_and_copies_noted() -> None:
    ssh = FakeSsh()
    host = ssh.add("h")
    session = await ssh.connect(TARGET)
    await session.write("~/a/b", b"1", 0o644)
    assert (host.files, host.modes) == ({"~/a/b": b"1"}, {"~/a/b": 0o644})
    await session.push(Files("x", "~/y"))
    await session.pull(Files("~/a/", "z"))
    with pytest.raises(SshError, match="no such file"):
        await session.pull(Files("~/nowhere", "z"))
    assert [way for way, _ in host.copies] == ["push", "pull", "pull"]


async def test_hosts_fail_as_they_are_told(tmp_path: Path) -> None:
    ssh = FakeSsh()
    with pytest.raises(Unreachable):
        await ssh.connect(TARGET)
    host = ssh.add("h")
    own = Target("h", Login(), known_hosts=tmp_path / "known")
    session = await ssh.connect(own)
    host.answers["sleep"] = host.hang()
    with pytest.raises(Unreachable, match=r"not done after 0\.01 s"):
        await session.run("sleep", timeout_s=0.01)
    host.break_after = 1
    await session.run("one")
    with pytest.raises(Unreachable):
        await session.run("two")
    assert host.down
    host.down, host.break_after, host.key = False, None, "other"
    with pytest.raises(HostKeyChanged):
        await ssh.connect(own)
    host.key, host.refuses = "first", True
    with pytest.raises(LoginRefused, match="does not let us in"):
        await ssh.connect(own)
    await session.close()
    await session.close()
    assert host.open_sessions == 0
    with pytest.raises(Unreachable, match="closed"):
        await session.run("three")
