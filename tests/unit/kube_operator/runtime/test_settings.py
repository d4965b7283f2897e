"""An operator is switched by KubeRay's variables."""

import pytest

from rayfleet.config import ConfigInvalid
from rayfleet.kube_operator.main import Started, operator_settings
from rayfleet.kube_operator.settings import Autoscaling, OperatorSettings


def test_without_any_it_has_the_defaults() -> None:
    assert operator_settings({}, Started()) == OperatorSettings()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("ENABLE_INIT_CONTAINER_INJECTION", "init_container"),
        ("ENABLE_PROBES_INJECTION", "probes"),
        ("ENABLE_GCS_FT_REDIS_CLEANUP", "redis_cleanup"),
    ],
)
def test_what_is_on_can_be_switched_off(name: str, field: str) -> None:
    assert getattr(operator_settings({name: "False"}, Started()), field) is False
    assert getattr(operator_settings({name: "true"}, Started()), field) is True


def test_it_knows_its_namespace_and_the_image_of_what_it_adds() -> None:
    environment = {"POD_NAMESPACE": "ray-system", "RAYFLEET_IMAGE": "mirror/rayfleet:1"}
    found = operator_settings(environment, Started())
    assert (found.namespace, found.image) == ("ray-system", "mirror/rayfleet:1")
    assert operator_settings(environment, Started(image="other:2")).image == "other:2"


def test_where_clusters_are_scaled_is_said_on_the_command_line() -> None:
    assert operator_settings({}, Started()).autoscaling is Autoscaling.SIDECAR
    assert operator_settings({}, Started(autoscaling=Autoscaling.CENTRAL)).autoscaling is Autoscaling.CENTRAL


def test_a_scheduler_that_is_not_known_is_refused_at_once() -> None:
    assert operator_settings({"BATCH_SCHEDULER": "yunikorn"}, Started()).batch_scheduler == "yunikorn"
    with pytest.raises(ConfigInvalid, match="BATCH_SCHEDULER volcano is not supported"):
        operator_settings({"BATCH_SCHEDULER": "volcano"}, Started())
