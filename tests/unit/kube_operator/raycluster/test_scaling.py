"""Who scales a cluster: what it asks for, what the operator is set to, and what its head was made with."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import SETTINGS, as_seen, created, group, look, raycluster

from rayfleet.kube_operator.raycluster.names import AUTOSCALER_ANNOTATION
from rayfleet.kube_operator.settings import Autoscaling
from rayfleet.wire.kube.objects import POD, Key, Object, key_of

CENTRAL = replace(SETTINGS, autoscaling=Autoscaling.CENTRAL)
OWN: dict[str, Any] = {"autoscalerOptions": {"command": ["ray", "kuberay-autoscaler"]}}


def cluster(asked: str = "", **spec: Any) -> Object:
    meta = {"annotations": {AUTOSCALER_ANNOTATION: asked}} if asked else {}
    return raycluster(group(), meta=meta, **{"enableInTreeAutoscaling": True, **spec})


@pytest.mark.parametrize(
    ("settings", "thing", "beside"),
    [
        (SETTINGS, cluster(), True),
        (SETTINGS, cluster("central"), False),
        (CENTRAL, cluster(), False),
        (CENTRAL, cluster("sidecar"), True),
        (CENTRAL, cluster(**OWN), True),
        (CENTRAL, cluster(enableInTreeAutoscaling=False), False),
    ],
)
def test_which_heads_have_an_autoscaler_beside_them(settings: Any, thing: Object, beside: bool) -> None:
    head, _ = created(look(thing, settings=settings))
    assert ("autoscaler" in [one["name"] for one in head["spec"]["containers"]]) is beside
    assert ("serviceAccountName" in head["spec"]) is beside


@pytest.mark.parametrize(
    ("made_for", "how", "scaled"),
    [
        (cluster("central"), {}, True),
        (cluster("sidecar"), {}, False),
        (cluster("central"), {"phase": "Pending", "ready": False}, False),
        (cluster("central"), {"ready": False}, True),
        (cluster("central"), {"deletionTimestamp": "2027-01-15T08:00:00Z"}, False),
    ],
)
def test_the_operator_scales_what_has_a_head_for_that(made_for: Object, how: Any, scaled: bool) -> None:
    head, _ = created(look(made_for))
    done = look(cluster("central"), (POD, as_seen(head, **how)))
    assert (done.scaling is not None) is scaled


def test_how_ray_is_reached() -> None:
    thing = cluster("central", authOptions={"mode": "token"})
    thing["spec"]["headGroupSpec"]["rayStartParams"] = {"port": "6400"}
    head = as_seen(created(look(thing, fresh_secret="words"))[0])
    scaling = look(thing, (POD, head), fresh_secret="words").scaling
    assert scaling is not None
    assert (scaling.host, scaling.port, scaling.head) == ("10.244.1.2", 6400, key_of(head).name)
    assert scaling.secret == Key("team", "demo")
    assert [pool.name for pool in scaling.policy.pools] == ["small"]


def test_an_address_of_version_six_stands_in_brackets() -> None:
    head = as_seen(created(look(cluster("central")))[0])
    head["status"]["podIP"] = "fd00::7"
    scaling = look(cluster("central"), (POD, head)).scaling
    assert scaling is not None
    assert scaling.host == "[fd00::7]"


def test_the_port_of_its_figures_has_a_name_unless_the_head_has_it() -> None:
    """Kubernetes wants each name of a port once in a pod; KubeRay's users name this one on the head's container."""
    head, _ = created(look(cluster(), settings=SETTINGS))
    (beside,) = (one for one in head["spec"]["containers"] if one["name"] == "autoscaler")
    assert beside["ports"] == [{"name": "as-metrics", "containerPort": 44217}]
    named = cluster()
    ray = named["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    ray["ports"] = [{"name": "as-metrics", "containerPort": 44217}]
    head, _ = created(look(named, settings=SETTINGS))
    ports = [port["name"] for one in head["spec"]["containers"] for port in one.get("ports", ())]
    assert ports.count("as-metrics") == 1
