"""SSH sessions with real servers: commands, files by rsync and by tar, host keys, proxies, and hosts that go away."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from rayfleet.contracts import Login
from rayfleet.testing.hosts import Host, Hosts
from rayfleet.wire.ssh import known_hosts
from rayfleet.wire.ssh.client import AsyncSsh, AsyncSshSession
from rayfleet.wire.ssh.session import Files, HostKeyChanged, LoginRefused, SshError, Target, Unreachable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(params=["rsync", "none"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[AsyncSsh]:
    """Copy by rsync, and where this machine has none."""
    ssh = AsyncSsh("rsync" if request.param == "rsync" else "no-such-program")
    yield ssh
    await ssh.close()


@pytest.fixture
async def ssh() -> AsyncIterator[AsyncSsh]:
    made = AsyncSsh()
    yield made
    await made.close()


@pytest.fixture
def target(site: Hosts, tmp_path: Path) -> Target:
    return target_of(site, site.hosts[0], tmp_path)


def target_of(site: Hosts, host: Host, folder: Path) -> Target:
    return Target(host.address, site.login, host.name, folder / "known_hosts")


@pytest.fixture
async def session(ssh: AsyncSsh, target: Target) -> AsyncIterator[AsyncSshSession]:
    made = await ssh.connect(target)
    yield made
    await made.close()


# ---- commands --------------------------------------------------------------------------------------------------------


async def test_a_command_runs_in_a_login_shell_and_both_outputs_come_in_order(session: AsyncSshSession) -> None:
    told: list[str] = []
    ran = await session.run(
        "for n in 1 2 3; do echo out$n; echo err$n >&2; done; cat; echo $SECRET; shopt -q login_shell && exit 7",
        env={"SECRET": "a 'b' $c"},
        stdin="in\n",
        on_line=told.append,
    )
    assert ran.code == 7
    assert ran.lines == ("out1", "err1", "out2", "err2", "out3", "err3", "in", "a 'b' $c")
    assert tuple(told) == ran.lines


async def test_sessions_with_one_host_share_a_connection_until_it_breaks(
    site: Hosts, ssh: AsyncSsh, target: Target
) -> None:
    """To the last of them. After something was lost on it the next one logs in anew."""
    which = "echo $SSH_CONNECTION"
    first, second = await ssh.connect(target), await ssh.connect(replace(target, id="another-name"))
    over = (await first.run(which)).text
    assert (await second.run(which)).text == over
    await first.close()
    await first.close()
    with pytest.raises(Unreachable, match="this session is closed"):
        await first.run("true")
    assert (await second.run(which)).text == over
    with pytest.raises(Unreachable, match="not done after"):
        await second.run("sleep 5", timeout_s=0.2)
    third = await ssh.connect(target)
    assert (await third.run(which)).text != over
    assert (await second.run(which)).text == over
    await second.close()
    fourth = await ssh.connect(target)
    assert (await fourth.run(which)).text == (await third.run(which)).text
    with pytest.raises(Unreachable):
        await ssh.connect(replace(target, login=replace(target.login, port=2222)))
    await third.close()
    await fourth.close()


async def test_neither_commands_nor_variables_are_seen_among_the_processes(session: AsyncSshSession) -> None:
    ran = await session.run("cat /proc/*/cmdline | tr '\\0' '\\n'", env={"TOKEN": "hunter2"})
    assert "bash" in ran.text
    assert "hunter2" not in ran.text
    assert "TOKEN" not in ran.text


async def test_a_host_has_its_own_name_and_home_and_finds_the_tests_own_python(session: AsyncSshSession) -> None:
    ran = await session.run("hostname; pwd; python -c 'import sys, rayfleet; print(sys.prefix)'; ray --version")
    host, home, prefix, version = ran.lines
    assert (host, home) == ("host1", "/home/host1")
    assert Path(prefix, "bin", "ray").exists()
    assert version.startswith("ray, version")


async def test_much_output_and_much_input_go_through(session: AsyncSshSession) -> None:
    ran = await session.run("seq 200000; wc -c", stdin="x" * 3_000_000)
    assert ran.lines[-1] == "3000000"
    assert ran.lines[-2] == "200000"


async def test_a_command_that_does_not_read_its_input_is_no_problem(session: AsyncSshSession) -> None:
    assert (await session.run("exec <&-; exit 4", stdin="x" * 3_000_000)).code == 4


async def test_a_signal_is_a_negative_code(session: AsyncSshSession) -> None:
    assert (await session.run("kill -9 $$")).code == -9


async def test_a_command_that_takes_too_long_says_so(session: AsyncSshSession) -> None:
    with pytest.raises(Unreachable, match=r"not done after 0\.3 s"):
        await session.run("sleep 60", timeout_s=0.3)
    assert (await session.run("echo still here")).lines == ("still here",)


async def test_more_commands_at_once_than_a_server_allows(session: AsyncSshSession) -> None:
    ran = await asyncio.gather(*(session.run(f"sleep 0.01; echo {n}") for n in range(60)))
    assert [each.lines for each in ran] == [(str(n),) for n in range(60)]


async def test_a_file_is_written_whole(session: AsyncSshSession) -> None:
    content = os.urandom(700_000)
    await session.write("~/a folder/file", content, 0o640)
    ran = await session.run("stat -c '%a %s' ~/'a folder'/file; ls -A ~/'a folder'")
    assert ran.lines == ("640 700000", "file")
    with pytest.raises(SshError, match="folder"):
        await session.write("~/a folder", b"")


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with all sorts of files."""
    top = tmp_path / "my tree"
    texts = {
        "a.txt": "a",
        "b.pyc": "no",
        "sub/deep/c.txt": "c",
        "sub/.gitignore": "*.log\n/only-here\n",
        "sub/x.log": "no",
        "sub/only-here": "no",
        "sub/deep/only-here": "yes",
        "it's a name.txt": "odd",
    }
    for name, text in texts.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    (top / "a.txt").chmod(0o755)
    (top / "link").symlink_to("a.txt")
    (top / "empty").mkdir()
    return top


WANTED = {"a.txt", "empty", "it's a name.txt", "link", "sub", "sub/.gitignore", "sub/deep", "sub/deep/c.txt"}
WANTED_ALL = WANTED | {"sub/deep/only-here"}


def listed(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def copied(site: Hosts, path: str) -> Path:
    """Return where this machine sees a path of the first host's home."""
    return site.hosts[0].path(f"{site.hosts[0].home}/{path}")


async def test_a_folder_goes_there_and_comes_back(
    either: AsyncSsh, site: Hosts, target: Target, tree: Path, tmp_path: Path
) -> None:
    session, name = await either.connect(target), tmp_path.name
    await session.push(Files(f"{tree}/", f"~/{name}/content", ("*.pyc",), (".gitignore",)))
    assert listed(copied(site, f"{name}/content")) == WANTED_ALL
    await session.push(Files(str(tree), f"~/{name}/whole/", ("*.pyc",), (".gitignore",)))
    there = copied(site, f"{name}/whole/my tree")
    assert listed(there) == WANTED_ALL
    assert (there / "a.txt").stat().st_mode & 0o777 == 0o755
    assert (there / "link").readlink() == Path("a.txt")
    back = tmp_path / "back"
    await session.pull(Files(f"~/{name}/content/", f"{back}/content/"))
    await session.pull(Files(f"~/{name}/whole/my tree", f"{back}/", exclude=("deep/",)))
    assert listed(back / "content") == WANTED_ALL
    assert listed(back / "my tree") == {path for path in WANTED_ALL if "deep" not in path}
    assert (back / "content" / "sub" / "deep" / "c.txt").read_text() == "c"
    await session.close()


async def test_one_file_goes_there_and_comes_back(
    either: AsyncSsh, site: Hosts, target: Target, tree: Path, tmp_path: Path
) -> None:
    session, name = await either.connect(target), f"one-{tmp_path.name}"
    odd = str(tree / "it's a name.txt")
    await session.push(Files(odd, f"~/{name}/new name"))
    await session.push(Files(odd, f"~/{name}/folder/"))
    await session.push(Files(odd, f"~/{name}"))
    assert listed(copied(site, name)) == {"new name", "folder", "folder/it's a name.txt", "it's a name.txt"}
    await session.pull(Files(f"~/{name}/new name", str(tmp_path / "back" / "again")))
    await session.pull(Files(f"~/{name}/new name", str(tmp_path / "back") + "/"))
    back = {name: (tmp_path / "back" / name).read_text() for name in listed(tmp_path / "back")}
    assert back == {"again": "odd", "new name": "odd"}
    with pytest.raises(SshError, match=r"could not be copied|does not exist"):
        await session.push(Files(str(tmp_path / "nowhere"), "~/x"))
    with pytest.raises(SshError, match="could not be copied"):
        await session.pull(Files("~/nowhere", str(tmp_path / "x")))
    await session.close()


async def test_what_is_gone_here_goes_there(
    either: AsyncSsh, site: Hosts, target: Target, tree: Path, tmp_path: Path
) -> None:
    session, name = await either.connect(target), f"gone-{tmp_path.name}"
    await session.push(Files(f"{tree}/", f"~/{name}"))
    (tree / "a.txt").unlink()
    (tree / "sub" / "deep" / "c.txt").unlink()
    await session.push(Files(f"{tree}/", f"~/{name}", exclude=("*.log",), delete=True))
    there = listed(copied(site, name))
    assert not {"a.txt", "sub/deep/c.txt"} & there
    assert {"sub/x.log", "b.pyc", "sub/deep"} <= there
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine").touch()
    await session.pull(Files(f"~/{name}/", f"{tmp_path}/back", delete=True))
    assert listed(tmp_path / "back") == there
    await session.close()


async def test_a_host_without_rsync_gets_its_files_by_tar(
    ssh: AsyncSsh, site: Hosts, tree: Path, tmp_path: Path
) -> None:
    host = site.hosts[1]
    assert host.run(["sh", "-c", "rm $(command -v rsync)"]).returncode == 0
    session = await ssh.connect(target_of(site, host, tmp_path))
    await session.push(Files(f"{tree}/", "~/no-rsync"))
    assert host.path(f"{host.home}/no-rsync/a.txt").read_text() == "a"
    await session.close()


async def test_nothing_is_left_of_open_connections(target: Target, tree: Path) -> None:
    """The folder with control sockets, and who listens at them."""
    before = sockets()
    ssh = AsyncSsh()
    session = await ssh.connect(target)
    await session.push(Files(f"{tree}/", "~/once"))
    (made,) = sockets() - before
    assert made.stat().st_mode & 0o777 == 0o700
    assert any(path.is_socket() for path in made.iterdir())
    await session.close()
    await ssh.close()
    assert not made.exists()
    assert str(made) not in "".join(_command_lines())


def sockets() -> set[Path]:
    return set(Path("/tmp").glob("rfs-*"))


def _command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_text(errors="replace")
        except OSError:
            continue


# ---- who is let in, and to whom --------------------------------------------------------------------------------------


async def test_a_hosts_first_key_holds_until_it_is_forgotten(ssh: AsyncSsh, site: Hosts, tmp_path: Path) -> None:
    target = target_of(site, site.hosts[0], tmp_path)
    await (await ssh.connect(target)).close()
    await (await ssh.connect(target)).close()
    assert target.known_hosts is not None
    assert len(target.known_hosts.read_text().splitlines()) == 1
    site.hosts[0].replace()
    with pytest.raises(HostKeyChanged, match="ssh-keygen -f"):
        await ssh.connect(target)
    known_hosts.forget(target)
    session = await ssh.connect(target)
    assert (await session.run("ls ~")).lines == ()
    await session.push(Files(__file__, "~/"))
    await session.close()


async def test_a_wrong_key_is_refused_login(ssh: AsyncSsh, target: Target, tmp_path: Path) -> None:
    other = tmp_path / "other"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(other)
    with pytest.raises(LoginRefused, match="does not let root in"):
        await ssh.connect(replace(target, login=replace(target.login, private_key=str(other))))
    with pytest.raises(LoginRefused, match="cannot be read"):
        await ssh.connect(replace(target, login=replace(target.login, private_key=str(tmp_path / "none"))))


async def test_a_key_with_a_passphrase_says_what_to_do(
    ssh: AsyncSsh, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    other = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(other)], check=True)
    with pytest.raises(LoginRefused, match="ssh-add"):
        await ssh.connect(replace(target, login=replace(target.login, private_key=str(other))))


async def test_the_users_own_rules_hold_where_no_file_of_ours_is_named(
    ssh: AsyncSsh, site: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown host, one that the user's ssh_config takes, and one whose key has changed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    host = site.hosts[0]
    target = Target("theirs", Login())
    own = f"Host theirs\n  HostName {host.address}\n  User root\n  IdentityFile {site.login.private_key}\n"
    known = f"  UserKnownHostsFile {tmp_path}/.ssh/known_hosts\n"
    config = tmp_path / ".ssh" / "config"
    config.write_text(own + known)
    with pytest.raises(LoginRefused, match="known_hosts"):
        await ssh.connect(target)
    config.write_text(f"{own}{known}  StrictHostKeyChecking accept-new\n")
    session = await ssh.connect(target)
    assert (await session.run("hostname")).lines == (host.name,)
    await session.close()
    kept = (tmp_path / ".ssh" / "known_hosts").read_text()
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (tmp_path / ".ssh" / "known_hosts").write_text(" ".join([kept.split()[0], *other.split()[:2]]) + "\n")
    with pytest.raises(HostKeyChanged):
        await ssh.connect(target)


@pytest.mark.parametrize("words", ["%h %p", "%h 22 | cat"])
async def test_a_proxy_command_is_a_line_of_shell(ssh: AsyncSsh, site: Hosts, tmp_path: Path, words: str) -> None:
    """A copy goes the same way."""
    host = site.hosts[0]
    script = tmp_path / "proxy.py"
    script.write_text(PROXY)
    login = replace(site.login, proxy_command=f"tee /dev/null | python3 {script} {words}", proxy_with_id=True)
    session = await ssh.connect(Target("10.255.255.1", login, host.address, tmp_path / "known_hosts"))
    assert (await session.run("hostname")).lines == (host.name,)
    await session.push(Files(str(script), "~/proxied"))
    assert host.path(f"{host.home}/proxied").read_text() == PROXY
    await session.close()


PROXY = """
import os, socket, sys, threading
to = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := to.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back).start()
while data := os.read(0, 65536):
    to.sendall(data)
to.shutdown(socket.SHUT_WR)
"""


# ---- hosts that go away ----------------------------------------------------------------------------------------------


async def test_nobody_there_is_unreachable(ssh: AsyncSsh, site: Hosts, target: Target) -> None:
    nobody = site.gateway.rsplit(".", 1)[0] + ".250"
    with pytest.raises(Unreachable, match=r"\.250"):
        await ssh.connect(replace(target, address=nobody), timeout_s=0.5)
    with pytest.raises(Unreachable):
        await ssh.connect(replace(target, login=replace(target.login, port=23)))


async def test_a_host_that_is_cut_off_is_unreachable_and_comes_back(ssh: AsyncSsh, site: Hosts, target: Target) -> None:
    host = site.hosts[0]
    session = await ssh.connect(target)
    host.cut_off()
    try:
        with pytest.raises(Unreachable):
            await session.run("true", timeout_s=0.5)
        with pytest.raises(Unreachable, match="does not answer"):
            await ssh.connect(target, timeout_s=0.5)
    finally:
        host.reconnect()
    again = await ssh.connect(target, timeout_s=20)
    assert (await again.run("true")).code == 0
    await again.close()
    await session.close()


async def test_a_host_that_loses_power_breaks_its_sessions_and_keeps_its_files(
    ssh: AsyncSsh, site: Hosts, target: Target
) -> None:
    host = site.hosts[0]
    session = await ssh.connect(target)
    boot = (await session.run("cat /proc/sys/kernel/random/boot_id")).text
    await session.write("~/kept", b"kept")
    started = asyncio.Event()
    running = asyncio.create_task(session.run("sleep 1000 & echo started; wait", on_line=lambda _line: started.set()))
    await started.wait()
    host.power_cycle()
    with pytest.raises(Unreachable):
        await asyncio.wait_for(running, 30)
    again = await ssh.connect(target)
    ran = await again.run("cat ~/kept; echo; cat /proc/sys/kernel/random/boot_id; pgrep -c sleep")
    assert ran.lines[0] == "kept"
    assert ran.lines[1] != boot
    assert ran.lines[2] == "0"
    await again.close()
    await session.close()


async def test_fifty_logins_at_once_and_as_many_first_keys(ssh: AsyncSsh, site: Hosts, tmp_path: Path) -> None:
    targets = [target_of(site, host, tmp_path) for host in site.hosts] * 25
    sessions = await asyncio.gather(*(ssh.connect(target, timeout_s=60) for target in targets))
    ran = await asyncio.gather(*(session.run("hostname") for session in sessions))
    assert {each.lines for each in ran} == {("host1",), ("host2",)}
    for session in sessions:
        await session.close()
