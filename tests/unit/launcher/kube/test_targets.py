"""Which resource is meant: forms of words, files, and what a file may hold."""

from pathlib import Path

import pytest

from rayfleet.config import ConfigInvalid
from rayfleet.launcher.errors import LauncherError, NoCluster, SeveralClusters
from rayfleet.launcher.kube.choose import Wanted, chosen
from rayfleet.launcher.kube.manifest import read_manifest
from rayfleet.launcher.kube.target import Target, means_kubernetes, named, typed
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.wire.kube.objects import CONFIG_MAP, RAY_CLUSTER, RAY_JOB, Key, key_of

CLUSTER = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: demo}
spec: {headGroupSpec: {template: {spec: {containers: [{name: head}]}}}}
status: {state: ready}
"""
SCRIPTS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\n---\n"


@pytest.mark.parametrize(
    ("word", "context", "namespace"),
    [
        ("k8s:kind-dev/team/demo", "kind-dev", "team"),
        ("k8s:arn:aws:eks:eu-west-1:1:cluster/prod/team/demo", "arn:aws:eks:eu-west-1:1:cluster/prod", "team"),
        ("k8s:/team/demo", None, "team"),
    ],
)
def test_the_form_with_a_context(word: str, context: str | None, namespace: str) -> None:
    assert named(word) == Target(RAY_CLUSTER, Key(namespace, "demo"), context)
    assert means_kubernetes(word)


@pytest.mark.parametrize("word", ["k8s:demo", "k8s:team/demo", "k8s:a//demo", "k8s:a/team/"])
def test_other_forms_are_refused_with_the_right_one(word: str) -> None:
    with pytest.raises(LauncherError, match="is not k8s:CONTEXT/NAMESPACE/NAME"):
        named(word)


def test_a_context_is_named_once() -> None:
    assert named("k8s:/team/demo", "dev").context == "dev"
    with pytest.raises(LauncherError, match="another context"):
        named("k8s:prod/team/demo", "dev")


def test_types_as_kubectl_has_them() -> None:
    assert typed("demo", None, "team") == Target(RAY_CLUSTER, Key("team", "demo"))
    assert typed("rayjobs/train", None, "team") == Target(RAY_JOB, Key("team", "train"))
    with pytest.raises(LauncherError, match="no type 'pod'"):
        typed("pod/x", None, "team")


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    ray, other = tmp_path / "ray.yaml", tmp_path / "cluster.yaml"
    ray.write_text(CLUSTER)
    other.write_text("cluster_name: x\n")
    assert means_kubernetes(str(ray))
    assert not any(map(means_kubernetes, (str(other), str(tmp_path / "none.yaml"), "demo", None)))


def test_a_file_and_what_goes_along_with_it() -> None:
    read = read_manifest(SCRIPTS + CLUSTER, "f.yaml").within("team")
    assert [(kind, str(key_of(thing))) for kind, thing in read.things] == [
        (CONFIG_MAP, "team/scripts"),
        (RAY_CLUSTER, "team/demo"),
    ]
    assert "status" not in read.resource


def test_what_is_written_as_text_in_a_secret_is_what_the_api_server_keeps() -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hush}\n---\n"
    ((_, thing),) = read_manifest(secret + CLUSTER, "f").beside
    assert thing["data"] == {"password": "aHVzaA=="}
    assert "stringData" not in thing


def test_the_older_version_is_asked_for_as_it_is_written() -> None:
    assert read_manifest(CLUSTER.replace("io/v1", "io/v1alpha1"), "f").kind.version == "v1alpha1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLUSTER.replace("name: demo", "name: 7"), "metadata.name"),
        (SCRIPTS.replace("ConfigMap", "Pod") + CLUSTER, "f.yaml:1:1: `rayfleet up` makes no Pod objects"),
        (SCRIPTS.replace("{name: scripts}", "{}") + CLUSTER, "metadata.name: is required"),
        (CLUSTER + "---\n" + CLUSTER, "cannot run it in this version"),
    ],
)
def test_what_a_file_may_not_hold(text: str, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        read_manifest(text, "f.yaml")


async def test_what_is_chosen(tmp_path: Path) -> None:
    kube, path = FakeKube(), tmp_path / "ray.yaml"
    path.write_text(CLUSTER)
    target, manifest = await chosen(kube, "home", Wanted(str(path), "dev"))
    assert (target, manifest is not None) == (Target(RAY_CLUSTER, Key("home", "demo"), "dev"), True)
    assert (await chosen(kube, "home", Wanted("k8s:dev/team/x")))[0].key == Key("team", "x")
    assert (await chosen(kube, "home", Wanted("x", namespace="team")))[0].key == Key("team", "x")
    path.write_text(CLUSTER.replace("name: demo", "name: demo, namespace: team"))
    with pytest.raises(LauncherError, match="is for namespace team, not other"):
        await chosen(kube, "home", Wanted(str(path), namespace="other"))


async def test_without_a_word_it_is_the_only_one() -> None:
    kube = FakeKube()
    with pytest.raises(NoCluster, match="no RayCluster is in namespace home"):
        await chosen(kube, "home", Wanted(None))
    await kube.create(RAY_CLUSTER, {"metadata": {"name": "a", "namespace": "home"}})
    assert (await chosen(kube, "home", Wanted(None)))[0].key == Key("home", "a")
    await kube.create(RAY_CLUSTER, {"metadata": {"name": "b", "namespace": "home"}})
    with pytest.raises(SeveralClusters, match="a, b"):
        await chosen(kube, "home", Wanted(None))
