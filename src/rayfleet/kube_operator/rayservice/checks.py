"""What is wrong with a RayService, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.rayservice import RayServiceSpec
from rayfleet.kube_operator.rayservice.initializing import timeout_s
from rayfleet.kube_operator.rayservice.serve import wanted_config
from rayfleet.kube_operator.rayservice.state import NAME_MAX, Service

_WHERE: Final = "upgradeStrategy.clusterUpgradeOptions"


def problems(service: Service) -> Iterator[str]:
    """Yield what is wrong."""
    if len(service.name) > NAME_MAX:
        yield f"metadata.name must have at most {NAME_MAX} characters: the names of its clusters are longer"
    yield from _unreadable(service)
    own = service.spec.ray_cluster_config
    if own.upgrade_strategy is not None:
        yield "rayClusterConfig.upgradeStrategy is for RayClusters of their own; use upgradeStrategy of the RayService"
    if own.auth_options is not None and own.auth_options.enable_k8s_token_auth:
        yield "rayClusterConfig.authOptions.enableK8sTokenAuth does not work with a RayService; use mode: token"
    if service.spec.ray_cluster_deletion_delay_seconds < 0:
        yield "rayClusterDeletionDelaySeconds must not be negative"
    if service.incremental:
        yield from incremental_problems(service.spec)


def incremental_problems(spec: RayServiceSpec) -> Iterator[str]:
    """Yield what is wrong with the steps of incremental upgrades."""
    if not spec.ray_cluster_config.enable_in_tree_autoscaling:
        yield "incremental upgrades need rayClusterConfig.enableInTreeAutoscaling: workers follow the replicas"
    options = spec.upgrade_strategy and spec.upgrade_strategy.cluster_upgrade_options
    if not options:
        yield f"{_WHERE} is missing: give stepSizePercent, intervalSeconds and gatewayClassName"
        return
    surge, step = options.max_surge_percent, options.step_size_percent
    if not 1 <= surge <= 100:  # noqa: PLR2004 - percent
        yield f"{_WHERE}.maxSurgePercent must be from 1 to 100 and is {surge}"
    if step is None or not 1 <= step <= 100:  # noqa: PLR2004 - percent
        yield f"{_WHERE}.stepSizePercent must be from 1 to 100 and is {'missing' if step is None else step}"
    elif step > surge:
        yield f"{_WHERE}.stepSizePercent ({step}) must not be more than maxSurgePercent ({surge})"
    if options.interval_seconds is None or options.interval_seconds < 1:
        given = "missing" if options.interval_seconds is None else options.interval_seconds
        yield f"{_WHERE}.intervalSeconds must be at least 1 and is {given}"
    if not options.gateway_class_name:
        yield f"{_WHERE}.gatewayClassName is missing: name a GatewayClass (kubectl get gatewayclasses)"


def _unreadable(service: Service) -> Iterator[str]:
    for read in (lambda: wanted_config(service.spec.serve_config_v2), lambda: timeout_s(service.thing)):
        try:
            read()
        except ValueError as error:
            yield str(error)
