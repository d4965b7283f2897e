"""What runs inside Kubernetes: the operator, and the autoscaler beside a head."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rayfleet.cli.arguments import add
from rayfleet.cli.terminal import EXIT_NOT_OK, fail


class AutoscalingPlace(StrEnum):
    """Where the autoscalers of an operator's clusters work."""

    SIDECAR = "sidecar"
    CENTRAL = "central"


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, kuberay_autoscaler, name="kuberay-autoscaler")
    add(app, operator)


def kuberay_autoscaler(
    cluster_name: Annotated[str, typer.Option(help="The RayCluster's name.", envvar="RAY_CLUSTER_NAME")],
    cluster_namespace: Annotated[str, typer.Option(help="Its namespace.", envvar="RAY_CLUSTER_NAMESPACE")],
) -> None:
    """Scale the RayCluster whose head this container runs beside.

    Takes the place of Ray's own autoscaler in the head's pod, whoever runs the RayCluster.

    Examples:
      rayfleet kuberay-autoscaler --cluster-name raycluster-sample --cluster-namespace default
    """
    from rayfleet.kube_operator.main import run_autoscaler

    run_autoscaler(cluster_namespace, cluster_name)


def operator(
    namespace: Annotated[
        list[str] | None, typer.Option(help="Only RayClusters of this namespace; may be given again.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="The context of the kubeconfig.", show_default=False)] = None,
    image: Annotated[str | None, typer.Option(help="Image of the containers that it adds.", show_default=False)] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="[HOST]:PORT", help="Where /metrics, /healthz and /readyz answer.")
    ] = None,
    autoscaling: Annotated[
        AutoscalingPlace, typer.Option(help="Where clusters are scaled: beside each head, or all in the operator.")
    ] = AutoscalingPlace.SIDECAR,
) -> None:
    """Run the RayClusters of a Kubernetes cluster: their pods, services and status.

    Examples:
      rayfleet operator                              all namespaces, as the pod's own account
      rayfleet operator --namespace team-a           one namespace
      rayfleet operator --context kind-dev           from outside, by a kubeconfig
      rayfleet operator --autoscaling central        no autoscaler beside each head: the operator scales them all
      rayfleet operator --listen :8080               with metrics for Prometheus
    """
    from rayfleet.kube_operator.main import Started, run_operator
    from rayfleet.kube_operator.runtime.endpoint import Address, CannotListen
    from rayfleet.kube_operator.settings import Autoscaling

    try:
        address = Address.parse(listen) if listen else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    try:
        run_operator(Started(tuple(namespace or ()), context, image, address, Autoscaling(autoscaling)))
    except CannotListen as error:
        fail(str(error), "free the port, or choose another with --listen", EXIT_NOT_OK)
