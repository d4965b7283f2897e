"""Ray's token reaches every container that needs it, and the Secret is made once."""

import base64
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import created, group, look, raycluster

from rayfleet.kube_operator.reconciling import Reconciled
from rayfleet.wire.kube.objects import SECRET, Object, labels_of

TOKEN = {"mode": "token"}


def start(*things: Any, **options: Any) -> Reconciled:
    cluster = raycluster(group(), authOptions={**TOKEN, **options}, enableInTreeAutoscaling=True)
    return look(cluster, *things, fresh_secret="guess me")


def containers(done: Reconciled) -> dict[str, Object]:
    """Return every container of head and worker by its name, init containers too."""
    pods = created(done)
    return {
        one["name"]: one for pod in pods for one in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
    }


def told(container: Object) -> dict[str, object]:
    found = {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
    return {name: value for name, value in found.items() if "AUTH" in name}


def test_a_secret_is_made_for_the_cluster_once() -> None:
    (secret,) = created(start(), SECRET)
    assert secret["metadata"]["name"] == "demo"
    assert labels_of(secret) == {"ray.io/cluster": "demo"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-demo"
    assert base64.b64decode(secret["data"]["auth_token"]) == b"guess me"
    assert created(start((SECRET, secret)), SECRET) == []


@pytest.mark.parametrize(("options", "name"), [({}, "demo"), ({"secretName": "mine"}, "mine")])
def test_every_container_gets_the_token(options: dict[str, Any], name: str) -> None:
    done = start(**options)
    found = containers(done)
    assert found.keys() == {"ray-head", "autoscaler", "ray-worker", "wait-gcs-ready"}
    for one in found.values():
        secret = {"secretKeyRef": {"name": name, "key": "auth_token"}}
        assert told(one) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secret}
    assert bool(created(done, SECRET)) == (name == "demo")


def test_tokens_of_kubernetes_come_by_a_volume() -> None:
    done = start(enableK8sTokenAuth=True)
    assert created(done, SECRET) == []
    folder = "/var/run/secrets/ray.io/serviceaccount"
    for one in containers(done).values():
        assert told(one) == {
            "RAY_AUTH_MODE": "token",
            "RAY_ENABLE_K8S_TOKEN_AUTH": "true",
            "RAY_AUTH_TOKEN_PATH": f"{folder}/token",
        }
        assert {"name": "ray-token", "mountPath": folder, "readOnly": True} in one["volumeMounts"]
    for pod in created(done):
        (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "ray-token"]
        assert volume["projected"]["sources"][0]["serviceAccountToken"]["path"] == "token"


@pytest.mark.parametrize("options", [None, {"mode": "disabled"}, {}])
def test_off_means_off(options: Object | None) -> None:
    done = look(raycluster(group(), authOptions=options))
    assert created(done, SECRET) == []
    assert all(told(one) == {} for one in containers(done).values())


def test_no_token_is_no_secret() -> None:
    with pytest.raises(ValueError, match="no characters"):
        look(raycluster(authOptions=TOKEN))
