"""Verbs for clusters in Kubernetes, as far as they go without one; and the plug-in of kubectl."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli import kubectl
from rayfleet.cli.app import app
from rayfleet.cli.failures import explained
from rayfleet.launcher import known
from rayfleet.wire.kube.errors import Forbidden, Invalid, Unavailable

CLUSTER = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: demo}
spec:
  headGroupSpec: {template: {spec: {containers: [{name: head}]}}}
  enableInTreeAutoscaling: true
  workerGroupSpecs:
  - groupName: small
    minReplicas: 2
    maxReplicas: 5
    template: {spec: {containers: [{name: w, resources: {limits: {cpu: 1}}}]}}
"""


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no cluster: of ours, of Kubernetes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ray.yaml").write_text(CLUSTER)


def run(*words: str, program: Any = app) -> Result:
    return CliRunner().invoke(program, list(words), prog_name="rayfleet")


VERBS = [
    "up", "down", "suspend", "resume", "status", "logs", "exec", "attach", "submit", "why", "history", "events", "top",
    "health", "list", "summary", "memory",
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("word", ["ray.yaml", "k8s:/team/demo"])
def test_every_verb_takes_a_cluster_in_kubernetes_and_says_when_there_is_no_way_there(verb: str, word: str) -> None:
    Path("script.py").write_text("")
    before = {"list": ["nodes"], "summary": ["tasks"]}.get(verb, [])
    more = {"exec": ["ray status"], "submit": ["script.py"]}.get(verb, [])
    result = run(verb, *before, word, *more)
    assert result.exit_code == 2
    assert "error: no way to a Kubernetes cluster: " in result.stderr
    assert "hint: KUBECONFIG names the file" in result.stderr
    assert not Path("state").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_the_plug_in_has_the_same_verbs_with_examples(verb: str) -> None:
    shown = run(verb, "--help", program=kubectl.app).stdout
    assert f"kubectl rayfleet {verb}" in shown.partition("Examples:\n")[2]
    assert "--namespace" in shown
    assert "--context" in shown


def test_the_plug_in_is_found_by_kubectl_under_its_name() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["kubectl-rayfleet"] == "rayfleet.cli.kubectl:main"
    assert run("status", "demo", program=kubectl.app).exit_code == 2
    assert "ray.json is no .yaml file" in run("up", "ray.json", program=kubectl.app).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("set", "ray.yaml", "idle_timeout_s=3"),
            "describes a cluster in Kubernetes, which this command does not know",
        ),
        (("history", "ray.yaml", "--write", "x.csv"), "--write would write on the head"),
        (("status", "ray.yaml", "-v"), "--verbose is for clusters that rayfleet starts"),
        (("status", "--context", "dev"), "--context is for clusters in Kubernetes"),
        (("status", "k8s:demo"), "'k8s:demo' is not k8s:CONTEXT/NAMESPACE/NAME"),
        (("status", "k8s:prod/a/b", "--context", "dev"), "names another context than --context dev"),
        (("up", "ray.yaml", "--name", "x"), "--name and --foreground are for clusters of this machine"),
        (("logs", "--node", "x"), "--node and --container are for clusters in Kubernetes"),
        (("logs", "ray.yaml", "--path"), "--path is for clusters of this machine"),
        (("logs", "ray.yaml", "--search", "x"), "--search and --json are for files of a node"),
        (("exec", "ray.yaml"), "there is no command to run"),
        (("submit", "ray.yaml"), "there is no script to submit"),
        (("submit", "ray.yaml", "none.py"), "there is no script none.py"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_a_file_is_shown_and_planned_from_without_any_cluster() -> None:
    told = json.loads(run("config", "check", "ray.yaml", "--json").stdout)
    assert told == {"ok": True, "can_run": True, "problems": [], "notices": []}
    shown = json.loads(run("config", "show", "ray.yaml").stdout)
    assert (shown["cluster_name"], shown["policy"]["pools"][0]["min_workers"]) == ("demo", 2)
    planned = json.loads(run("plan", "ray.yaml", "--what-if", "small.min_workers=3", "--json").stdout)
    assert [(one["pool"], one["count"]) for one in planned["launch"]] == [("small", 3)]


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (Unavailable("no answer"), 1, "kubectl get nodes"),
        (Forbidden("no"), 2, "kubectl auth can-i"),
        (Invalid("spec.x"), 2, ""),
    ],
)
def test_what_the_api_server_says_is_one_block(
    error: Exception, code: int, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer import Exit

    with pytest.raises(Exit) as caught, explained():
        raise error
    said = capsys.readouterr().err
    assert (caught.value.exit_code, hint in said) == (code, True)
    assert f"error: the Kubernetes API server: {error}" in said
