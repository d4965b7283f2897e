"""Command lines for people's terminals; the shells in them are really run where that shows more."""

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.contracts import Login, Machine, MachineState
from rayfleet.launcher import home as homes
from rayfleet.launcher.remote.openssh import Host, in_shell, joined, kept, plainly, rsync, ssh
from rayfleet.launcher.remote.verbs import on_worker, shell
from rayfleet.launcher.remote.where import Where, save
from rayfleet.model import OfferKey

HEAD = Where("aws", "i-1", "1.2.3.4", "10.0.0.1", Login("ubuntu", "/k/id", port=2222))

FOUND = 'if [ -f "$HOME/.rayfleet/one/client.sh" ]; then . "$HOME/.rayfleet/one/client.sh"; fi'


def run(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_a_command() -> None:
    words = ssh(Host(HEAD, None), "ls")
    assert words[:2] == ["ssh", "-T"]
    assert words[-2:] == ["ubuntu@1.2.3.4", "ls"]
    assert words[8:14] == ["-o", 'IdentityFile="/k/id"', "-o", "IdentitiesOnly=yes", "-o", "Port=2222"]


def test_a_machine_that_was_made_is_known_by_its_id_not_by_its_address() -> None:
    keys = Path("/keys")
    assert "HostKeyAlias=i-1" in ssh(Host(replace(HEAD, made=True), keys), "ls")
    assert not [word for word in ssh(Host(HEAD, keys), "ls") if word.startswith("HostKeyAlias")]


def test_forwarded_ports_must_be_had() -> None:
    words = ssh(Host(HEAD, None), "", forwards=[(9000, 8265)])
    assert words[-4:] == ["-L", "localhost:9000:localhost:8265", "-N", "ubuntu@1.2.3.4"]
    assert "ExitOnForwardFailure=yes" in words


def test_a_proxy_gets_the_machines_id() -> None:
    login = Login("ubuntu", proxy_command="ssm %h %p %r", proxy_with_id=True)
    words = ssh(Host(Where("aws", "i-1", "1.2.3.4", login=login), None), "ls")
    assert "ProxyCommand=ssm i-1 22 ubuntu" in words


def test_rsync_goes_the_same_way() -> None:
    words = rsync(Host(HEAD, None), "data/", "~/data", up=True)
    assert words[-2:] == ["data/", "ubuntu@1.2.3.4:~/data"]
    assert "Port=2222" in words[words.index("-e") + 1]
    assert rsync(Host(HEAD, None), "~/a", "b", up=False)[-2:] == ["ubuntu@1.2.3.4:~/a", "b"]


def test_a_worker_is_reached_over_the_head() -> None:
    worker = Host(replace(HEAD, machine="i-2", address="10.0.0.7", login=Login("ubuntu", "/k/id")), None)
    proxied = replace(HEAD, login=Login("ubuntu", "/k/i%d", proxy_command="nc %h %p"))
    way = rsync(worker, "a", "b", up=True, over=Host(proxied, None))
    assert way[-1] == "ubuntu@10.0.0.7:b"
    (option,) = [word for word in shlex.split(way[way.index("-e") + 1]) if word.startswith("ProxyCommand=")]
    assert "'ProxyCommand=nc 1.2.3.4 22'" in option
    assert "/k/i%%d" in option
    assert option.endswith(" -W [%h]:%p ubuntu@1.2.3.4")


def test_output_is_that_of_the_command_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """What an interactive shell says of the terminal that it lacks is not passed on; the command's own words are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = run(in_shell(HEAD, "one", "echo out; echo err >&2; exit 7"))
    assert (ran.stdout, ran.stderr, ran.returncode) == ("out\n", "err\n", 7)


def test_rays_commands_find_the_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    script = "mkdir -p ~/.rayfleet/one && echo export RAY_AUTH_MODE=token > ~/.rayfleet/one/client.sh"
    assert run(script).returncode == 0
    assert run(in_shell(HEAD, "one", "echo $RAY_AUTH_MODE")).stdout == "token\n"
    assert run(in_shell(HEAD, "other", "echo .$RAY_AUTH_MODE")).stdout == ".\n"


def test_our_own_commands_need_no_profile() -> None:
    assert run(plainly(HEAD, "echo 'a b'; exit 3")).stdout == "a b\n"
    assert run(plainly(HEAD, "exit 3")).returncode == 3


def test_the_way_to_a_worker_begins_where_the_key_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    save(home, Where("aws", "i-1", "1.2.3.4", container="ray_container"))
    onwards = shell(home, address="10.0.0.7")[-1]
    assert onwards.startswith("exec docker exec -it ray_container bash -c 'exec ssh -tt ")
    assert "10.0.0.7" in onwards


def test_each_worker_is_logged_in_to_as_the_file_says_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The head's own user and port are the head's alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    save(home, Where("local", "10.0.0.1-a", "10.0.0.1", login=Login("headuser", port=2222)))
    hosts = [
        {"address": "10.0.0.1", "ssh_user": "headuser", "ssh_port": 2222},
        {"address": "10.0.0.2", "ssh_user": "she", "ssh_port": 2022},
        {"address": "10.0.0.3"},
    ]
    place = {"type": "local", "head_ip": "10.0.0.1", "hosts": hosts}
    home.write(home.config, json.dumps({"cluster_name": "one", "provider": place, "auth": {"ssh_user": "all"}}))
    assert " -p 2022 " in shell(home, address="10.0.0.2")[-1]
    assert "she@10.0.0.2" in shell(home, address="10.0.0.2")[-1]
    machine = Machine("10.0.0.3-b", OfferKey("w"), "b", MachineState.RUNNING, address="10.0.0.3")
    onwards = on_worker(home, machine, "echo $RAYFLEET_MACHINE_ID")[-1]
    assert "all@10.0.0.3" in onwards
    assert " -p " not in onwards


def test_a_script_on_a_worker_knows_its_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The way is real but for ssh, which gives the line to the shell of whoever logs in."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor line in "$@"; do :; done\nexec sh -c "$line"\n', encoding="utf-8")
    program.chmod(0o755)
    home = homes.create("one")
    save(home, Where("aws", "i-1", "1.2.3.4", login=Login("ubuntu")))
    machine = Machine("i-2", OfferKey("w"), "b", MachineState.RUNNING, address="10.0.0.2")
    words = on_worker(home, machine, 'echo "$RAYFLEET_MACHINE_ID" "${RAYFLEET_MACHINE_ID//-/_}"')
    path = f"{program.parent}:{os.environ['PATH']}"
    ran = subprocess.run(["env", f"PATH={path}", *words], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("i-2 i_2\n", "")


def test_a_container_is_entered() -> None:
    inside = Where("aws", "i-1", "1.2.3.4", container="ray_container", container_program="podman")
    assert plainly(inside, "ls") == "exec podman exec -i ray_container bash -c ls"
    assert in_shell(inside, "one", "", tty=True).startswith("exec podman exec -it ray_container bash --login -i -c ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (kept("python x.py", "one"), "python x.py"),
        (kept("python x.py", "one", tmux=True), f"tmux new -d bash -c '{FOUND}\npython x.py\nexec bash'"),
        (kept("python x.py", "one", screen=True), f"screen -L -dm bash -c '{FOUND}\npython x.py\nexec bash'"),
        (joined("one"), ""),
        (joined("one", tmux=True), f"tmux attach || tmux new bash -c '{FOUND}\nexec bash'"),
        (joined("one", tmux=True, new=True), f"tmux new bash -c '{FOUND}\nexec bash'"),
        (joined("one", screen=True), f"screen -L -xRR -- bash -c '{FOUND}\nexec bash'"),
        (joined("one", screen=True, new=True), f"screen -L -- bash -c '{FOUND}\nexec bash'"),
    ],
)
def test_what_goes_on_without_us(line: str, expected: str) -> None:
    assert line == expected
