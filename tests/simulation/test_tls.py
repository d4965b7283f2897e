"""Clusters whose pods speak TLS, brought up by an operator on virtual time: scenario 27 of KubeRay, without Ray."""

import asyncio
import base64

from cryptography import x509
from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group

from rayfleet.wire.kube.objects import EVENT, POD, RAY_CLUSTER, SECRET, Key, Object, annotations_of, key_of

TLS = {"enabled": True}


def secrets(stage: Stage) -> dict[str, Object]:
    return {key_of(one).name: one for one in stage.kube.things(SECRET)}


def addresses(secret: Object) -> set[str]:
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(map(str, names.get_values_for_type(x509.IPAddress)))


async def give_addresses(stage: Stage) -> None:
    """Give each pod an address of its own, as a network does."""
    for number, pod in enumerate(stage.kube.things(POD)):
        stage.kube.set_status(POD, key_of(pod), {**pod["status"], "podIP": f"10.0.0.{number + 10}"})
    await asyncio.sleep(5)


def test_every_pod_gets_into_a_certificate_and_is_told() -> None:
    async def act(stage: Stage) -> tuple[list[str], list[bool], list[bool]]:
        await stage.apply(group(replicas=3), group("other", 2), tlsOptions=TLS, enableInTreeAutoscaling=True)
        await asyncio.sleep(20)
        await give_addresses(stage)
        there = secrets(stage)
        pods = stage.kube.things(POD)
        named = []
        for pod in pods:
            kind = "head" if pod in stage.pods("head") else "worker"
            named.append(pod["status"]["podIP"] in addresses(there[f"ray-{kind}-secret-demo"]))
        return sorted(there), named, ["rayfleet.io/certified-until" in annotations_of(pod) for pod in pods]

    names, named, told = on_stage(act)
    assert [name.partition("-secret")[0] for name in names] == ["demo-ca", "ray-head", "ray-worker"]
    assert named == [True] * 6
    assert told == [True] * 6


def test_nothing_is_left_of_it_when_its_cluster_goes() -> None:
    async def act(stage: Stage) -> int:
        await stage.apply(group(), tlsOptions=TLS)
        await asyncio.sleep(20)
        assert len(secrets(stage)) == 3
        await stage.kube.delete(RAY_CLUSTER, CLUSTER)
        await asyncio.sleep(20)
        return len(secrets(stage))

    assert on_stage(act) == 0


def test_a_secret_that_goes_is_made_anew_with_all_that_hangs_on_it() -> None:
    async def act(stage: Stage) -> tuple[set[str], bool]:
        await stage.apply(group(), tlsOptions=TLS)
        await asyncio.sleep(20)
        before = secrets(stage)
        (authority,) = (name for name in before if name.startswith("demo-ca"))
        await stage.kube.delete(SECRET, key_of(before[authority]))
        await asyncio.sleep(20)
        after = secrets(stage)
        changed = {name.partition("-secret")[0] for name in after if after[name]["data"] != before[name]["data"]}
        return changed, all(one["data"]["ca.crt"] == after[authority]["data"]["tls.crt"] for one in after.values())

    assert on_stage(act) == ({"demo-ca", "ray-head", "ray-worker"}, True)


def test_a_secret_of_somebody_else_s_is_told_and_let_be() -> None:
    """Clusters that KubeRay has looked after have cert-manager's Secrets under the same names."""

    async def act(stage: Stage) -> tuple[set[str], Object, int]:
        theirs = {"metadata": {"namespace": "team", "name": "ray-head-secret-demo"}, "data": {"tls.key": "eA=="}}
        await stage.kube.create(SECRET, theirs)
        await stage.apply(group(), tlsOptions=TLS)
        await asyncio.sleep(60)
        told = {event["message"] for event in stage.kube.things(EVENT)}
        there = secrets(stage)["ray-head-secret-demo"]["data"]
        await stage.kube.delete(SECRET, Key("team", "ray-head-secret-demo"))
        await asyncio.sleep(300)
        return told, there, len(stage.pods())

    told, there, pods = on_stage(act)
    assert ["team/ray-head-secret-demo is not this cluster's" in text for text in told] == [True]
    assert there == {"tls.key": "eA=="}
    assert pods == 1


def test_a_secret_of_a_cluster_of_the_same_name_is_waited_for_without_a_word() -> None:
    async def act(stage: Stage) -> tuple[list[str], int]:
        owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "demo", "uid": "before", "controller": True}
        meta = {"namespace": "team", "name": "ray-head-secret-demo", "ownerReferences": [owner]}
        await stage.kube.create(SECRET, {"metadata": meta, "data": {"tls.key": "eA=="}})
        await stage.apply(group(), tlsOptions=TLS)
        await asyncio.sleep(5)
        await stage.kube.delete(SECRET, Key("team", "ray-head-secret-demo"))
        await asyncio.sleep(60)
        return [event["reason"] for event in stage.kube.things(EVENT)], len(stage.pods())

    assert on_stage(act) == ([], 1)


def test_a_key_that_somebody_has_spoiled_is_told_and_the_rest_goes_on() -> None:
    async def act(stage: Stage) -> tuple[bool, int]:
        await stage.apply(group(), tlsOptions=TLS)
        await asyncio.sleep(20)
        (authority,) = (one for name, one in secrets(stage).items() if name.startswith("demo-ca"))
        await stage.kube.patch(SECRET, key_of(authority), {"data": {"tls.crt": base64.b64encode(b"none").decode()}})
        await asyncio.sleep(20)
        told = [event["reason"] for event in stage.kube.things(EVENT)]
        return "FailedCreateCertificate" in told, len(stage.pods())

    assert on_stage(act) == (True, 1)
