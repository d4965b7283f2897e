"""What kubectl is asked to do, and for which pod."""

import subprocess
from pathlib import Path

import pytest
from tests.unit.launcher.kube.things import found, group, pod, ready, resource, waiting

from rayfleet.kube_operator.autoscaler import STATE_FOLDER, Head
from rayfleet.launcher.errors import LauncherError, NotRunning, UnknownCluster
from rayfleet.launcher.kube import kubectl
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.view import pod_view
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key

TARGET = Target(RAY_CLUSTER, Key("team", "demo"), "dev")
CLUSTER = resource(workerGroupSpecs=[group(replicas=1)])
UP = found(CLUSTER, ready("h"), ready("w", group="small"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder in which programs are found; it holds a kubectl."""
    (tmp_path / "kubectl").write_text("#!/bin/sh\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_kubectl_it_says_so(programs: Path) -> None:
    (programs / "kubectl").unlink()
    with pytest.raises(LauncherError, match="there is no command kubectl"):
        kubectl.program()


def test_commands_run_in_rays_container_of_the_head(programs: Path) -> None:
    head = kubectl.running_head(UP)
    program, *words = kubectl.exec_command(TARGET, head, ["ray", "status"], terminal=True)
    assert program == str(programs / "kubectl")
    assert words == [
        "--context", "dev", "-n", "team", "exec", "-it", "h", "-c", "ray", "--", "ray", "status",
    ]  # fmt: skip
    here = Target(RAY_CLUSTER, Key("team", "demo"))
    assert "--context" not in kubectl.exec_command(here, head, ["x"], terminal=False)
    assert kubectl.follow_command(here, head, "autoscaler", 5)[3:] == [
        "logs", "-f", "--tail=5", "h", "-c", "autoscaler",
    ]  # fmt: skip


def test_the_record_is_asked_where_the_autoscaler_is(programs: Path) -> None:
    head = kubectl.running_head(UP)
    assert kubectl.ask_command(TARGET, head, ["why", "small", "--json"])[1:] == [
        "--context", "dev", "-n", "team", "exec", "h", "-c", "autoscaler", "--",
        "rayfleet", "why", "--record", "/tmp/ray/rayfleet", "small", "--json",
    ]  # fmt: skip
    assert kubectl.ask_command(TARGET, head, ["top"], terminal=True)[6:10] == ["-it", "h", "-c", "autoscaler"]
    assert str(Path(Head.beside({}).shared) / STATE_FOLDER) == kubectl.RECORD
    alone = kubectl.pod_named(UP, "w")
    with pytest.raises(NotRunning, match="no autoscaler runs beside the head of team/demo"):
        kubectl.ask_command(TARGET, alone, ["why"])


def test_a_head_that_does_not_run_is_said_to() -> None:
    with pytest.raises(NotRunning, match="has no head now"):
        kubectl.running_head(found(CLUSTER))
    with pytest.raises(NotRunning, match="h does not run: starts on n1: ContainerCreating"):
        kubectl.running_head(found(CLUSTER, waiting("h", "ContainerCreating")))


def test_whose_log_is_meant() -> None:
    assert kubectl.pod_named(UP, "head").name == "h"
    worker = kubectl.pod_named(UP, "w")
    assert kubectl.log_container(pod_view(pod("h")), None) == "autoscaler"
    assert kubectl.log_container(worker, None) == "ray"
    with pytest.raises(UnknownCluster, match="no pod 'wx'"):
        kubectl.pod_named(UP, "wx")
    with pytest.raises(UnknownCluster, match="no container 'autoscaler'"):
        kubectl.log_container(worker, "autoscaler")


def test_jobs_go_to_the_port_that_the_head_was_given() -> None:
    assert kubectl.dashboard_port(UP) == "8265"
    given = resource()
    given["spec"]["headGroupSpec"]["rayStartParams"] = {"dashboard-port": "9000"}
    assert kubectl.dashboard_port(found(given)) == "9000"


def test_a_script_comes_in_by_standard_input_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The line of shell, run here with a stand-in for `ray` that shows what it was given."""
    (tmp_path / "ray").write_text('#!/bin/sh\necho "$@"\ncat "${4#--working-dir=}"/*.py\nexit 3\n')
    (tmp_path / "ray").chmod(0o755)
    script = tmp_path / "my script.py"
    line = kubectl.shell_line(script, ["--size", "1 0"], "8265", no_wait=True)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        ["/bin/bash", "-c", line], input="print(1)\n", capture_output=True, text=True, check=False, env=environment
    )
    told, text = ran.stdout.splitlines()
    assert told.startswith("job submit --address=http://127.0.0.1:8265 --working-dir=")
    assert told.endswith("--no-wait -- python 'my script.py' --size '1 0'".replace("'", ""))
    assert (text, ran.returncode) == ("print(1)", 3)
    assert not list(tmp_path.glob("tmp.*"))
