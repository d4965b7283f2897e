"""TLS between a cluster's pods: which certificates there are, as whom, until when; what pods mount and wait for."""

import base64
import copy
import json
from collections.abc import Iterable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from tests.unit.kube_operator.raycluster.clusters import NOW, as_seen, created, group, look, raycluster

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.reconciling import Certify, Emit, Patch, Reconciled
from rayfleet.kube_operator.runtime.certificates import certified
from rayfleet.wire.kube.objects import POD, SECRET, Kind, Object, key_of

AUTHORITY, HEAD, WORKERS = "demo-ca-secret-uid-demo", "ray-head-secret-demo", "ray-worker-secret-demo"
TLS = {"enabled": True}
DAY_S = 86400.0


def encrypted(*groups: Object, **spec: Any) -> Object:
    return raycluster(*groups, tlsOptions=TLS, **spec)


def asked(done: Reconciled) -> dict[str, Certify]:
    return {key_of(one.thing).name: one for one in done.actions if isinstance(one, Certify)}


def carried_out(actions: Iterable[Certify], now: float = NOW) -> dict[str, Object]:
    """Return the Secrets as they are afterwards, by name."""
    return {key_of(one.thing).name: {**one.thing, "data": certified(one, now)} for one in actions}


def secrets(cluster: Object, *pods: Object) -> dict[str, Object]:
    """Return all Secrets that looks at a cluster with these pods lead to."""
    there = carried_out(asked(look(cluster)).values())
    return there | carried_out(asked(seen(cluster, there, *pods)).values())


def seen(cluster: Object, there: dict[str, Object], *pods: Object) -> Reconciled:
    return look(cluster, *having(there), *((POD, pod) for pod in pods))


def having(there: dict[str, Object]) -> list[tuple[Kind, Object]]:
    return [(SECRET, secret) for secret in there.values()]


def certificate(secret: Object, entry: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"][entry]))


def called(secret: Object) -> set[str]:
    names = certificate(secret).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def pods_of(cluster: Object, **how: Any) -> list[Object]:
    return [as_seen(pod, **how) for pod in created(seen(cluster, secrets(cluster)))]


def aged(there: dict[str, Object], **left_days: float) -> dict[str, Object]:
    """Return Secrets of which some end so soon."""
    older = copy.deepcopy(there)
    for name, days in left_days.items():
        secret = older[{"authority": AUTHORITY, "head": HEAD, "workers": WORKERS}[name]]
        secret["metadata"]["annotations"]["rayfleet.io/certified-until"] = timestamp(NOW + days * DAY_S)
    return older


def test_first_who_vouches_then_the_certificates_then_pods() -> None:
    cluster = encrypted(group())
    first = look(cluster)
    assert set(asked(first)) == {AUTHORITY}
    assert created(first) == []
    there = carried_out(asked(first).values())
    second = seen(cluster, there)
    assert set(asked(second)) == {HEAD, WORKERS}
    assert created(second) == []
    third = seen(cluster, there | carried_out(asked(second).values()))
    assert asked(third) == {}
    assert len(created(third)) == 2


def test_without_it_there_is_nothing_of_it() -> None:
    for cluster in (raycluster(group()), raycluster(group(), tlsOptions={"enabled": False})):
        done = look(cluster)
        assert asked(done) == {}
        assert "tls" not in json.dumps(created(done)).lower()


def test_the_head_is_called_by_its_services_and_everybody_by_their_addresses() -> None:
    cluster = encrypted(group(), meta={"labels": {"ray.io/originated-from-cr-name": "train"}})
    head, worker = pods_of(cluster)
    worker["status"] |= {"podIP": "10.244.1.9", "podIPs": [{"ip": "10.244.1.9"}, {"ip": "fd00::9"}]}
    there = secrets(cluster, head, worker)
    own = {"demo-head-svc", "demo-head-svc.team", "demo-head-svc.team.svc", "demo-head-svc.team.svc.cluster.local"}
    made_by = {name.replace("demo", "train") for name in own}
    local = {"localhost", "127.0.0.1", "::1"}
    assert called(there[HEAD]) == own | made_by | local | {"10.244.1.2"}
    assert called(there[WORKERS]) == local | {"10.244.1.9", "fd00::9"}
    lines = base64.b64decode(there[WORKERS]["data"]["addresses"]).decode().splitlines()
    assert lines == ["127.0.0.1", "::1", "10.244.1.9", "fd00::9"]


def test_a_certificate_is_signed_by_the_authority_whose_key_is_in_no_pod_s_secret() -> None:
    there = secrets(encrypted(group()))
    authority = certificate(there[AUTHORITY])
    for name in (HEAD, WORKERS):
        certificate(there[name]).verify_directly_issued_by(authority)
        assert certificate(there[name], "ca.crt") == authority
        assert there[name]["data"]["tls.key"] != there[AUTHORITY]["data"]["tls.key"]
        assert (certificate(there[name]).not_valid_after_utc.timestamp() - NOW) / DAY_S == pytest.approx(365)
    assert (authority.not_valid_after_utc.timestamp() - NOW) / DAY_S == pytest.approx(3650)


def test_a_new_pod_is_added_and_one_that_has_gone_is_no_reason() -> None:
    cluster = encrypted(group(replicas=2))
    head, one, two = pods_of(cluster)
    two["status"]["podIP"] = "10.244.1.3"
    there = secrets(cluster, head, one, two)
    assert asked(seen(cluster, there, head, one, two)) == {}
    assert asked(seen(cluster, there, head, one)) == {}
    two["status"]["podIP"] = "10.244.1.4"
    again = asked(seen(cluster, there, head, one, two))
    assert set(again) == {WORKERS}
    assert again[WORKERS].before is there[WORKERS]
    assert "10.244.1.4" in again[WORKERS].addresses
    assert "10.244.1.3" not in again[WORKERS].addresses
    assert carried_out(again.values())[WORKERS]["data"]["tls.key"] == there[WORKERS]["data"]["tls.key"]


def test_groups_share_the_workers_secret() -> None:
    cluster = encrypted(group("small"), group("large"))
    volumes = [
        volume["secret"]["secretName"]
        for pod in created(seen(cluster, secrets(cluster)))
        for volume in pod["spec"]["volumes"]
        if volume["name"] == "ray-tls"
    ]
    assert volumes == [HEAD, WORKERS, WORKERS]


def test_every_container_that_speaks_with_ray_speaks_tls() -> None:
    cluster = encrypted(group(), enableInTreeAutoscaling=True)
    head, worker = created(seen(cluster, secrets(cluster)))
    speaking = [*head["spec"]["containers"], worker["spec"]["containers"][0], worker["spec"]["initContainers"][-1]]
    assert [one["name"] for one in speaking] == ["ray-head", "autoscaler", "ray-worker", "wait-gcs-ready"]
    for one in speaking:
        variables = {variable["name"]: variable.get("value") for variable in one["env"]}
        assert variables["RAY_USE_TLS"] == "1"
        assert variables["RAY_TLS_SERVER_CERT"] == "/etc/ray/tls/tls.crt"
        assert variables["RAY_TLS_SERVER_KEY"] == "/etc/ray/tls/tls.key"
        assert variables["RAY_TLS_CA_CERT"] == "/etc/ray/tls/ca.crt"
        mounts = [mount for mount in one["volumeMounts"] if mount["name"] == "ray-tls"]
        assert mounts == [{"name": "ray-tls", "mountPath": "/etc/ray/tls", "readOnly": True}]


def test_nothing_of_a_pod_starts_before_its_certificate_names_it() -> None:
    cluster = encrypted(group())
    for pod in created(seen(cluster, secrets(cluster))):
        first = pod["spec"]["initContainers"][0]
        assert first["name"] == "wait-for-tls-ip-san"
        assert first["env"][0]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
        assert "/etc/ray/tls/addresses" in first["args"][0]


def test_a_pod_that_is_named_is_marked_once_so_that_its_kubelet_looks() -> None:
    cluster = encrypted()
    (head,) = pods_of(cluster, phase="Pending", ready=False)
    before = secrets(cluster)
    assert [one for one in seen(cluster, before, head).actions if isinstance(one, Patch) and one.kind == POD] == []
    there = secrets(cluster, head)
    (mark,) = [one for one in seen(cluster, there, head).actions if isinstance(one, Patch)]
    until = there[HEAD]["metadata"]["annotations"]["rayfleet.io/certified-until"]
    assert mark.patch == {"metadata": {"annotations": {"rayfleet.io/certified-until": until}}}
    head["metadata"]["annotations"] = {"rayfleet.io/certified-until": until}
    assert [one for one in seen(cluster, there, head).actions if isinstance(one, Patch)] == []


def test_certificates_are_made_anew_long_before_their_end() -> None:
    cluster = encrypted(group())
    there = secrets(cluster)
    assert asked(seen(cluster, aged(there, head=130))) == {}
    again = asked(seen(cluster, aged(there, head=110)))
    assert set(again) == {HEAD}
    assert (again[HEAD].until - NOW) / DAY_S == pytest.approx(365)


def test_an_authority_that_is_renewed_keeps_its_key_so_that_old_and_new_trust_each_other() -> None:
    cluster = encrypted(group())
    there = secrets(cluster)
    renewal = asked(seen(cluster, aged(there, authority=300)))
    assert set(renewal) == {AUTHORITY}
    renewed = there | carried_out(renewal.values(), NOW + DAY_S)
    assert certificate(renewed[AUTHORITY]) != certificate(there[AUTHORITY])
    certificate(there[HEAD]).verify_directly_issued_by(certificate(renewed[AUTHORITY]))
    leaves = asked(seen(cluster, renewed))
    assert set(leaves) == {HEAD, WORKERS}
    certificate(carried_out(leaves.values())[HEAD]).verify_directly_issued_by(certificate(there[AUTHORITY]))


def test_an_authority_that_cannot_be_renewed_is_no_reason_to_certify_for_ever() -> None:
    cluster = encrypted(group())
    there = secrets(cluster)
    late = aged(there, authority=50, head=49.5, workers=49.5)
    assert set(asked(seen(cluster, late))) == {AUTHORITY}


def test_pods_that_started_with_a_certificate_that_ends_are_told() -> None:
    cluster = encrypted()
    (head,) = pods_of(cluster)
    there = secrets(cluster, head)
    for days, told in ((31, 0), (29, 1)):
        head["metadata"]["annotations"] = {"rayfleet.io/certified-until": timestamp(NOW + days * DAY_S)}
        events = [one for one in seen(cluster, there, head).actions if isinstance(one, Emit)]
        assert [one.reason for one in events] == ["CertificatesEnd"] * told


def test_secrets_go_with_their_cluster() -> None:
    for secret in secrets(encrypted(group())).values():
        (owner,) = secret["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid-demo", True)


def test_a_secret_that_somebody_has_spoiled_is_told() -> None:
    (ask,) = asked(look(encrypted())).values()
    spoiled = {"metadata": {"name": AUTHORITY}, "data": {"tls.key": base64.b64encode(b"no key").decode()}}
    action = Certify(ask.thing, ask.subject, ask.until, before=spoiled)
    with pytest.raises(ValueError, match="PEM"):
        certified(action, NOW)


def test_a_key_that_somebody_has_encrypted_is_told_and_not_tried_for_ever() -> None:
    (ask,) = asked(look(encrypted())).values()
    key = ec.generate_private_key(ec.SECP256R1())
    closed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    theirs = {"metadata": {"name": AUTHORITY}, "data": {"tls.key": base64.b64encode(closed).decode()}}
    action = Certify(ask.thing, ask.subject, ask.until, before=theirs)
    with pytest.raises(ValueError, match=rf"key in Secret {AUTHORITY} cannot be read .*encrypted.*delete the Secret"):
        certified(action, NOW)
