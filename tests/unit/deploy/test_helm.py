"""The charts under the real helm, without a cluster: rendered, checked, served from a repository, found, installed."""

import functools
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from scripts import charts
from tests.unit.deploy.cases import CASES, CHARTS, FIRST, Case, documents

pytestmark = pytest.mark.kubernetes

Helm = functools.partial[str]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


def run(environment: dict[str, str], *arguments: str, fails: bool = False) -> str:
    """Run helm, and return all that it prints."""
    done = subprocess.run(
        [charts.find_helm(), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr if fails else done.stdout


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Return helm with a home of its own, and no cluster."""
    homes = {f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "CACHE", "DATA")}
    return functools.partial(run, {**os.environ, **homes, "KUBECONFIG": str(tmp_path / "none")})


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """Package the charts and serve them from this machine; yield the address."""
    charts.package(tmp_path / "charts", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "charts")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_renders_what_the_golden_manifest_says(helm: Helm, case: Case) -> None:
    text = helm(*case.command())
    assert documents(text) == documents(case.golden.read_text(encoding="utf-8")), (
        "if that is as it should be: python tests/unit/deploy/make_goldens.py"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lint_finds_nothing(helm: Helm, case: Case) -> None:
    _release, *values = case.arguments
    said = helm("lint", "--strict", str(CHARTS / case.chart), *values)
    assert "1 chart(s) linted, 0 chart(s) failed" in said


def test_from_a_repository_to_an_installed_cluster_as_in_the_guide(helm: Helm, repository: str) -> None:
    assert "has been added" in helm("repo", "add", "hub", repository)
    assert "Successfully got an update" in helm("repo", "update", "hub")
    for chart in ("ray-cluster", "rayfleet-operator"):
        header, found = helm("search", "repo", chart).splitlines()
        assert [word.strip() for word in header.split("\t")] == ["NAME", "CHART VERSION", "APP VERSION", "DESCRIPTION"]
        assert found.split()[0] == f"hub/{chart}"
    release, *rest = FIRST
    said = helm("install", release, "hub/ray-cluster", *rest, "--dry-run=client")
    assert "kind: RayCluster" in said
    notes = said.split("NOTES:")[1]
    assert "kubectl port-forward svc/myfirst-ray-cluster-head-svc 8265:8265 -n raycluster" in notes
    assert "kubectl get rayclusters.ray.io myfirst-ray-cluster -n raycluster" in notes
    assert "redis" not in notes


def test_the_notes_name_the_secret_that_the_head_waits_for(helm: Helm) -> None:
    release, *rest = FIRST
    chosen = ("--set", "gcsFaultTolerance.enable=true", "--set", "head.headService.metadata.name=mine")
    notes = helm("install", release, str(CHARTS / "ray-cluster"), *rest, *chosen, "--dry-run=client").split("NOTES:")[1]
    assert "create secret generic myfirst-ray-cluster-raycluster-redis -n raycluster" in notes
    assert "svc/mine 8265:8265" in notes


def test_the_operators_chart_brings_the_definitions(helm: Helm, repository: str) -> None:
    helm("repo", "add", "hub", repository)
    shown = helm("show", "crds", "hub/rayfleet-operator")
    assert len(documents(shown)) == 4
    said = helm(
        "install",
        "op",
        "hub/rayfleet-operator",
        "-n",
        "sys",
        "--set",
        "singleNamespaceInstall=true",
        "--dry-run=client",
    )
    notes = said.split("NOTES:")[1]
    assert "looks after the Ray resources of sys." in notes
    assert "kubectl logs -n sys deployment/op-rayfleet-operator" in notes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "--set", "fullnameOverride=" + 54 * "x"), "longer than 53 characters"),
        (("a", "--set", "gcsFaultTolerance.enable=true,gcsFaultTolerance.enabled=true"), "set one of them"),
        (("a", "--set", "gcsFaultTolerance.enabled=true"), "needs gcsFaultTolerance.redisAddress"),
    ],
)
def test_values_that_cannot_work_are_refused_in_words(helm: Helm, arguments: tuple[str, ...], words: str) -> None:
    release, *rest = arguments
    assert words in helm("template", release, str(CHARTS / "ray-cluster"), *rest, fails=True)


def test_plain_manifests_are_what_the_chart_renders_now() -> None:
    for path, text in charts.manifest_files().items():
        assert documents(path.read_text(encoding="utf-8")) == documents(text), "python scripts/charts.py manifests"


def test_the_kustomize_base_is_complete_and_moves_to_another_namespace(tmp_path: Path) -> None:
    beside = Path(charts.find_helm()).with_name("kubectl")
    kubectl = str(beside) if beside.exists() else "kubectl"
    # Kustomize wants relative paths.
    base = os.path.relpath(charts.MANIFESTS, tmp_path)
    overlay = f"namespace: elsewhere\nresources: [{base}]\nimages: [{{name: rayfleet, newName: registry/rayfleet}}]\n"
    (tmp_path / "kustomization.yaml").write_text(overlay, encoding="utf-8")
    text = subprocess.run(
        [kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True, timeout=100
    ).stdout
    things = documents(text)
    kinds = [one["kind"] for one in things]
    assert (kinds.count("CustomResourceDefinition"), kinds.count("Deployment")) == (4, 1)
    assert {one["metadata"].get("namespace", "elsewhere") for one in things} == {"elsewhere"}
    subjects = [subject["namespace"] for one in things for subject in one.get("subjects", ())]
    assert set(subjects) == {"elsewhere"}
    assert "image: registry/rayfleet:" in text
