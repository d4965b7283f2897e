"""`rayfleet up local.yaml` from an empty folder: three real hosts with SSH servers become a real Ray cluster, and go.

The tests of this file are one story, in this order: they share one cluster, which the last one ends.
"""

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.e2e.remote.laptop import Laptop

from rayfleet.testing.hosts import Host, Hosts, needs

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.timeout(400)]

LEASE = "/var/tmp/rayfleet-lease"

SPREAD = """
import sys, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(logging_level="error")

@ray.remote(num_cpus=1)
class Guest:
    def node(self):
        return ray.get_runtime_context().get_node_id()

@ray.remote(num_cpus=0)
def where():
    return ray.util.get_node_ip_address()

guests = [Guest.remote() for _ in range(int(sys.argv[1]))]
nodes = ray.get([guest.node.remote() for guest in guests])
tasks = [where.options(scheduling_strategy=On(node, soft=False)).remote() for node in nodes]
print("ran on:", " ".join(sorted(set(ray.get(tasks)))))
"""
"""Each host has one CPU, so as many actors need as many hosts, however long those take to come; a task runs on each."""


@dataclass
class Local(Laptop):
    """The machine that launches, with the hosts around it."""

    site: Hosts

    @property
    def token(self) -> str:
        return (self.folder / "state/rayfleet/clusters/three/ray-token").read_text(encoding="utf-8")

    @property
    def hosts(self) -> list[Host]:
        """Those that the cluster's file names; the one after them is a way to them."""
        return self.site.hosts[:3]

    @property
    def jump(self) -> Host:
        return self.site.hosts[3]

    def write(self, **changes: Any) -> None:
        head, *workers = self.hosts
        login = self.site.login
        config = {
            "cluster_name": "three",
            "provider": {"type": "local", "head_ip": head.address, "worker_ips": [each.address for each in workers]},
            "auth": {"ssh_user": login.user, "ssh_private_key": login.private_key},
            "idle_timeout_minutes": 0.1,
            "max_workers": 2,
            "head_node_type": "head",
            "available_node_types": {
                "head": {"resources": {"CPU": 1}, "node_config": {}},
                "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 1, "max_workers": 2},
            },
            "setup_commands": ["echo set up > ~/set_up"],
        }
        (self.folder / "local.yaml").write_text(json.dumps({**config, **changes}), encoding="utf-8")

    def write_ssh_config(self) -> None:
        """Give the user an ssh_config by which the head is reached over the jump host, as root."""
        self.home = self.folder / "home"
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True, mode=0o700)
        lines = (
            "Host hop",
            f"HostName {self.jump.address}",
            f"IdentityFile {self.site.login.private_key}",
            f"UserKnownHostsFile {ssh}/known_hosts",
            "StrictHostKeyChecking accept-new",
            f"Host {' '.join(each.address for each in self.hosts)}",
            "ProxyJump hop",
            "Host *",
            "User root",
        )
        (ssh / "config").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """Return the launching machine, with four hosts around it. Where they cannot be, this fails."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    folder = tmp_path_factory.mktemp("laptop")
    with Hosts(4, tmp_path_factory.mktemp("hosts")) as site:
        found = Local(folder, "three", site)
        found.write()
        (folder / "spread.py").write_text(SPREAD, encoding="utf-8")
        yield found


def addresses(laptop: Local) -> list[str]:
    return sorted(each.address for each in laptop.hosts)


def read(host: Host, path: str) -> str:
    return host.run(["sh", "-c", f"cat {path}"]).stdout


def test_doctor_looks_at_every_host_before_anything_is_started(laptop: Local) -> None:
    """One that is off is told of, in the same words by which it would be passed over."""
    off = laptop.site.hosts[2]
    off.cut_off()
    ran = laptop.rayfleet("doctor", "local.yaml", code=1)
    assert f"BAD   host {off.address}: " in ran.stdout
    assert f"ok    host {laptop.site.hosts[0].address} (head): Python " in ran.stdout
    off.reconnect()
    told = json.loads(laptop.rayfleet("doctor", "local.yaml", "--json").stdout)
    assert (told["ok"], [host["address"] for host in told["hosts"]]) == (True, addresses(laptop))
    assert {host["facts"]["lease"] for host in told["hosts"]} == {"free"}
    assert not (laptop.folder / "state/rayfleet/clusters/three").exists()


def test_up(laptop: Local) -> None:
    """One line for each step of each machine; the head by the launcher, the worker by the controller on the head."""
    ran = laptop.rayfleet("up", "local.yaml", "--json", "--timeout", "300")
    told = json.loads(ran.stdout)
    assert (told["cluster"], told["workers"]) == ("three", 1)
    assert "setup echo set up > ~/set_up" in ran.stderr
    assert "starting the controller" in ran.stderr
    assert laptop.token not in ran.stdout + ran.stderr
    assert read(laptop.hosts[0], "~/set_up") == "set up\n"
    assert len(laptop.workers()) == 1


def test_no_autoscaler_of_rays_runs_on_the_head(laptop: Local) -> None:
    processes = laptop.hosts[0].run(["ps", "axww", "-o", "args"]).stdout
    assert "gcs_server" in processes
    assert "/monitor.py" not in processes


def test_a_task_runs_on_each_host_and_idle_workers_leave(laptop: Local) -> None:
    ran = laptop.rayfleet("submit", "local.yaml", "spread.py", "3")
    assert f"ran on: {' '.join(addresses(laptop))}" in ran.stdout
    laptop.until(lambda: len(laptop.workers()) == 1)


def test_commands_on_the_head(laptop: Local) -> None:
    head = laptop.hosts[0]
    assert laptop.rayfleet("get-head-ip", "local.yaml").stdout.split() == [head.address]
    (worker,) = laptop.rayfleet("get-worker-ips", "local.yaml").stdout.split()
    assert worker in addresses(laptop)
    assert laptop.rayfleet("exec", "three", "echo $RAY_AUTH_MODE; hostname").stdout.split() == ["token", head.name]
    laptop.rayfleet("exec", "local.yaml", "exit 7", code=7)
    assert "1 head" in laptop.rayfleet("exec", "ray status").stdout


def test_the_same_verbs_as_here(laptop: Local) -> None:
    """They are run on the head; what they print is passed on."""
    assert "1 head" in laptop.rayfleet("status", "local.yaml").stdout
    assert "the head is never released" in laptop.rayfleet("why", "three").stdout
    assert json.loads(laptop.rayfleet("history", "--json").stdout)
    assert "controller_started" in laptop.rayfleet("logs", "three").stdout
    assert laptop.rayfleet("scale", "nonsense", "1", code=2).stderr.startswith("error: ")
    assert json.loads(laptop.rayfleet("set", "three", "idle_timeout_s=5", "--json").stdout)["orders"]
    assert laptop.rayfleet("why", "--file", "nowhere", code=2).stderr


def test_what_runs_there_is_seen_from_here(laptop: Local) -> None:
    """By the head's own dashboard, which listens there alone."""
    nodes = json.loads(laptop.rayfleet("list", "nodes", "local.yaml", "--filter", "state=ALIVE", "--json").stdout)
    assert [row["is_head_node"] for row in nodes["rows"]].count(True) == 1
    assert {laptop.hosts[0].address} < {row["node_ip"] for row in nodes["rows"]} <= set(addresses(laptop))
    assert json.loads(laptop.rayfleet("summary", "actors", "three", "--json").stdout)["kind"] == "actors"
    assert "OBJECT STORE" in laptop.rayfleet("memory").stdout
    worker = next(row for row in nodes["rows"] if not row["is_head_node"])
    assert "raylet" in laptop.rayfleet("logs", "three", "--node-id", worker["node_id"][:10]).stdout
    assert laptop.rayfleet("logs", "gcs_server.out", "--tail", "3").stdout.count("\n") == 3
    assert "launch" in laptop.rayfleet("events", "local.yaml", "--kind", "launch").stdout
    assert laptop.rayfleet("top").stdout.startswith("three  ")
    assert json.loads(laptop.rayfleet("health", "three", "--json").stdout)["ok"]
    assert laptop.rayfleet("health", "local.yaml", "--cpus", "1000", code=1).stdout


def test_files_there_and_back(laptop: Local) -> None:
    (laptop.folder / "data").mkdir()
    (laptop.folder / "data/one.txt").write_text("one\n", encoding="utf-8")
    laptop.rayfleet("rsync-up", "local.yaml", "data", "~/")
    assert read(laptop.hosts[0], "~/data/one.txt") == "one\n"
    laptop.rayfleet("rsync-up", "local.yaml", "--all-nodes", "data", "~/everywhere")
    (worker,) = laptop.rayfleet("get-worker-ips", "local.yaml").stdout.split()
    (other,) = [each for each in laptop.hosts if each.address == worker]
    assert {read(host, "~/everywhere/data/one.txt") for host in (laptop.hosts[0], other)} == {"one\n"}
    laptop.rayfleet("rsync_down", "local.yaml", "~/data/", "back")
    assert (laptop.folder / "back/one.txt").read_text(encoding="utf-8") == "one\n"


def test_attach_is_a_shell_in_which_ray_finds_the_cluster(laptop: Local) -> None:
    with laptop.typing("attach", "local.yaml") as typed:
        typed.enter("echo mode=$RAY_AUTH_MODE at=$(hostname); exit 3")
        said = typed.until_the_end(code=3)
    assert f"mode=token at={laptop.hosts[0].name}" in said


def test_the_heads_page_is_here_until_somebody_has_had_enough(laptop: Local) -> None:
    """It asks for its token, since whoever reaches the port would come in as the head's user; nothing stays there."""
    with laptop.typing("dashboard", "local.yaml", "--no-open", "-p", "0") as typed:
        url, token = re.findall(r"is at (\S+) until|once a week: (\S+)", typed.until_it_says("once a week: "))
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(url[0], timeout=30) as asks:
            assert b"Token" in asks.read()
            where = asks.url
        with browser.open(where, f"token={token[1]}".encode(), timeout=30) as shown:
            assert b"three" in shown.read()
            assert shown.url == url[0]
        typed.enter("\x03")
        typed.until_the_end(code=0)
    laptop.wait(lambda: "head-page" not in laptop.hosts[0].run(["pgrep", "-fl", "head-page"]).stdout)


def test_a_port_of_the_heads_is_here_while_somebody_is_attached(laptop: Local) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with laptop.typing("attach", "local.yaml", "--port-forward", str(port)) as typed:
        typed.enter_until(f"cd; python3 -m http.server {port} --bind localhost", lambda: _get(port) == b"set up\n")
        typed.enter("\x03")
        typed.enter("exit")
        typed.until_the_end()
    assert _get(port) is None


def _get(port: int) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/set_up", timeout=5) as answer:
            found: bytes = answer.read()
            return found
    except OSError:
        return None


def test_a_command_goes_on_in_a_tmux_or_screen_without_us(laptop: Local) -> None:
    """It finds the cluster also where somebody's tmux was there before, which knows nothing of it."""
    head = laptop.hosts[0]
    head.run(["tmux", "new", "-d"])
    for what in ("tmux", "screen"):
        laptop.rayfleet("exec", "local.yaml", f"--{what}", f"ray status > ~/{what}")
        laptop.wait(lambda what=what: "1 head" in read(head, f"~/{what}"))  # type: ignore[misc]


@pytest.mark.parametrize(("what", "away"), [("tmux", "\x02d"), ("screen", "\x01d")], ids=["tmux", "screen"])
def test_attach_goes_on_in_a_tmux_or_screen_without_us(laptop: Local, what: str, away: str) -> None:
    with laptop.typing("attach", "local.yaml", f"--{what}", "--new") as typed:
        line = f"cd; echo $RAY_AUTH_MODE > {what}_new"
        typed.enter_until(line, lambda: read(laptop.hosts[0], f"~/{what}_new") == "token\n")
        typed.enter(away)
        assert "detached" in typed.until_the_end()
    with laptop.typing("attach", "local.yaml", f"--{what}") as typed:
        line = f"cd; echo again > {what}_again"
        typed.enter_until(line, lambda: read(laptop.hosts[0], f"~/{what}_again") == "again\n")
        typed.enter(away)
        typed.until_the_end()


def test_a_script_as_a_job_of_rays(laptop: Local) -> None:
    (laptop.folder / "job.py").write_text("import ray, sys\nray.init()\nprint(sys.argv[1:])\nsys.exit(4)\n", "utf-8")
    ran = laptop.rayfleet("submit", "local.yaml", "--job", "job.py", "a b", code=1)
    assert "['a b']" in ran.stdout
    assert "failed with exit code 4" in ran.stdout


@pytest.mark.parametrize("hard", [[], ["--hard"]], ids=["soft", "hard"])
def test_a_worker_that_is_ended_at_random_is_replaced(laptop: Local, hard: list[str]) -> None:
    before = set(laptop.workers())
    (worker,) = laptop.rayfleet("get-worker-ips", "local.yaml").stdout.split()
    assert laptop.rayfleet("kill-random-node", "local.yaml", "--yes", *hard).stdout.split() == [worker]
    laptop.until(lambda: (found := set(laptop.workers())) and found.isdisjoint(before))


def test_the_users_ssh_config_holds_for_the_whole_way(laptop: Local) -> None:
    """It says who logs in, and over which host: for commands, for files, for people's shells."""
    laptop.write_ssh_config()
    laptop.write(
        auth={"ssh_private_key": laptop.site.login.private_key},
        file_mounts={"~/mounted": str(laptop.folder / "data")},
        file_mounts_sync_continuously=True,
        setup_commands=["echo set up > ~/set_up", "echo $SSH_CONNECTION > ~/via"],
    )
    try:
        laptop.rayfleet("up", "local.yaml", "--yes", "--no-restart")
        assert read(laptop.hosts[0], "~/via").split()[0] == laptop.jump.address
        assert read(laptop.hosts[0], "~/mounted/one.txt") == "one\n"
        via = laptop.rayfleet("exec", "three", "echo $SSH_CONNECTION").stdout
        assert via.split()[0] == laptop.jump.address
        laptop.rayfleet("rsync-down", "three", "~/via", "via")
        assert len(laptop.workers()) == 1
        _files_of_the_head_are_followed(laptop)
    finally:
        laptop.home = None
        laptop.write()
    laptop.rayfleet("up", "local.yaml", "--yes", "--no-restart", "--json")
    laptop.rayfleet("up", "local.yaml", "--json")


def _files_of_the_head_are_followed(laptop: Local) -> None:
    """The worker has what the file asked for since, and gets what changes; its Ray runs on."""
    (worker,) = laptop.rayfleet("get-worker-ips", "three").stdout.split()
    (host,) = [each for each in laptop.hosts if each.address == worker]
    before = host.run(["pgrep", "-x", "raylet"]).stdout
    laptop.wait(lambda: read(host, "~/mounted/one.txt") == "one\n")
    laptop.hosts[0].run(["sh", "-c", "echo another > ~/mounted/one.txt"])
    laptop.wait(lambda: read(host, "~/mounted/one.txt") == "another\n")
    assert host.run(["pgrep", "-x", "raylet"]).stdout == before
    assert before.strip()


def test_up_again_changes_nothing_and_a_changed_file_only_what_it_says(laptop: Local) -> None:
    """Neither starts Ray anew: what runs on the head goes on."""
    head = laptop.hosts[0]
    before = head.run(["pgrep", "-x", "gcs_server"]).stdout
    controller = read(head, "~/.local/state/rayfleet/clusters/three/controller.json")
    laptop.rayfleet("up", "local.yaml", "--json")
    assert read(head, "~/.local/state/rayfleet/clusters/three/controller.json") == controller
    laptop.write(idle_timeout_minutes=0.2)
    laptop.rayfleet("up", "local.yaml", "--yes", "--json")
    assert read(head, "~/.local/state/rayfleet/clusters/three/controller.json") != controller
    assert head.run(["pgrep", "-x", "gcs_server"]).stdout == before
    assert before.strip()


def test_a_set_up_command_that_fails_is_told_and_the_cluster_stays(laptop: Local) -> None:
    laptop.write(setup_commands=["echo set up > ~/set_up", "echo the reason; exit 5"])
    ran = laptop.rayfleet("up", "local.yaml", "--yes", "--no-restart", code=2)
    assert "echo the reason; exit 5" in ran.stderr
    assert "the reason\n" in ran.stderr
    assert "1 head" in laptop.rayfleet("exec", "three", "ray status").stdout
    laptop.write()
    laptop.rayfleet("up", "local.yaml", "--yes", "--no-restart", "--json")


def test_the_workers_alone_are_sent_home_until_the_next_up(laptop: Local) -> None:
    laptop.rayfleet("down", "local.yaml", "--workers-only")
    laptop.until(lambda: not laptop.workers())
    laptop.rayfleet("up", "local.yaml", "--json")
    assert len(laptop.workers()) == 1


def test_a_host_that_is_cut_off_is_replaced_and_comes_back(laptop: Local) -> None:
    (worker,) = laptop.rayfleet("get-worker-ips", "local.yaml").stdout.split()
    (lost,) = [each for each in laptop.hosts if each.address == worker]
    before = set(laptop.workers())
    lost.cut_off()
    laptop.until(lambda: (found := set(laptop.workers())) and found.isdisjoint(before))
    lost.reconnect()
    # What ran on it is ended and its lease dropped as soon as it answers; then it is a host like any other.
    laptop.until(lambda: lost.run(["ls", LEASE]).returncode != 0)
    ran = laptop.rayfleet("submit", "local.yaml", "spread.py", "3")
    assert f"ran on: {' '.join(addresses(laptop))}" in ran.stdout, laptop.rayfleet("why", "three").stdout


def test_down_leaves_nothing(laptop: Local) -> None:
    """No process on any host but its SSH server, no lease, no note; and it may be asked for again."""
    laptop.hosts[0].run(["sh", "-c", "kill $(pgrep -x 'screen|tmux.*')"])  # those were opened by a person, and stay
    ended = json.loads(laptop.rayfleet("down", "local.yaml", "--json").stdout)
    assert ended["ok"]
    assert ended["released"] >= 2
    for host in laptop.hosts:
        assert host.run(["pgrep", "-fl", "ray|rayfleet"]).stdout == "", host.name
        assert host.run(["ls", LEASE]).returncode != 0
    assert not (laptop.folder / "state/rayfleet/clusters/three/remote.json").exists()
    assert not (laptop.folder / "state/rayfleet/clusters/three/ray-token").exists()
    again = json.loads(laptop.rayfleet("down", "local.yaml", "--json").stdout)
    assert (again["released"], again["ok"]) == (0, True)
    assert "nothing is left over" in laptop.rayfleet("gc").stdout
    assert "cluster three is down; this is how it was last" in laptop.rayfleet("status", "three").stdout


def test_down_names_a_host_that_is_cut_off_and_is_done_when_it_is_back(laptop: Local) -> None:
    """Its lease was taken by the head, and never seen from here; the head told of it before it ended."""
    laptop.rayfleet("up", "local.yaml", "--json", "--timeout", "300")
    assert json.loads(laptop.rayfleet("doctor", "three", "--json").stdout)["ok"]
    (worker,) = laptop.rayfleet("get-worker-ips", "local.yaml").stdout.split()
    (lost,) = [each for each in laptop.site.hosts if each.address == worker]
    lost.cut_off()
    ran = laptop.rayfleet("down", "local.yaml", code=1)
    assert "cluster three is not down yet: 1 machines given back" in ran.stdout
    assert f"{worker}: {worker}-" in ran.stderr
    assert "of pool worker may still run there" in ran.stderr
    assert "three" in laptop.rayfleet("list").stdout
    lost.reconnect()
    assert lost.run(["ls", LEASE]).returncode == 0
    assert json.loads(laptop.rayfleet("down", "local.yaml", "--json").stdout)["ok"]
    for host in laptop.site.hosts:
        assert host.run(["pgrep", "-fl", "ray|rayfleet"]).stdout == "", host.name
        assert host.run(["ls", LEASE]).returncode != 0


@pytest.mark.slow
def test_exec_brings_a_cluster_up_and_ends_it_through_a_proxy(laptop: Local) -> None:
    """One of its hosts is off when it ends, and given up; what it kept of the cluster is found when it is on again."""
    (laptop.folder / "data").mkdir(exist_ok=True)
    (laptop.folder / "data/one.txt").write_text("one\n", encoding="utf-8")
    login = laptop.site.login
    known = f"-o UserKnownHostsFile={laptop.folder}/hops -o StrictHostKeyChecking=accept-new"
    proxy = f"ssh -i {login.private_key} {known} -W %h:%p root@{laptop.jump.address}"
    head, *workers = laptop.hosts
    place = {"head_ip": head.address, "worker_ips": [each.address for each in workers], "unreachable_timeout_s": 2}
    laptop.write(
        auth={"ssh_user": login.user, "ssh_private_key": login.private_key, "ssh_proxy_command": proxy},
        provider={"type": "local", **place},
        file_mounts={"~/mounted": str(laptop.folder / "data")},
    )
    via = laptop.rayfleet("exec", "local.yaml", "--start", "echo $SSH_CONNECTION; cat ~/mounted/one.txt").stdout
    assert via.splitlines()[-2].split()[0] == laptop.jump.address
    assert via.splitlines()[-1] == "one"
    (worker,) = laptop.rayfleet("get-worker-ips", "local.yaml").stdout.split()
    (off,) = [each for each in workers if each.address == worker]
    off.power_off()
    assert "1 head" in laptop.rayfleet("exec", "local.yaml", "--stop", "ray status", code=1).stdout
    assert f"{worker}: " in laptop.rayfleet("down", "local.yaml", "--give-up").stderr
    assert head.run(["pgrep", "-fl", "ray|rayfleet"]).stdout == ""
    off.power_on()
    off.wait()


@pytest.mark.slow
def test_what_a_down_could_not_reach_is_found_and_given_back(laptop: Local) -> None:
    (orphans,) = json.loads(laptop.rayfleet("gc", "--json").stdout)
    assert (orphans["cluster"], len(orphans["machines"]), orphans["head"]) == ("three", 1, "")
    assert [host for host in laptop.hosts if host.run(["ls", LEASE]).returncode == 0]
    laptop.rayfleet("gc", "--yes")
    assert not [host for host in laptop.hosts if host.run(["ls", LEASE]).returncode == 0]
    assert "nothing is left over" in laptop.rayfleet("gc").stdout
