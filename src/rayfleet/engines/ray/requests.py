"""`request_resources` without a driver: straight to the GCS, which replaces what was asked before."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from rayfleet.engines.ray.gcs import Gcs
from rayfleet.engines.ray.protobufs import autoscaler, common
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.engines.ray.tls import credentials
from rayfleet.model import LabelSelector, RequestedDemand


async def request_resources(settings: RaySettings, wishes: Iterable[RequestedDemand]) -> None:
    """Ask that the cluster's total capacity holds `wishes`, in place of all that was asked before; none = clear.

    Raises:
        EngineDown: no answer.
    """
    gcs = Gcs(settings.gcs_address, settings.token, tls=partial(credentials, settings))
    try:
        await gcs.request_resources(constraint(wishes))
    finally:
        await gcs.close()


def constraint(wishes: Iterable[RequestedDemand]) -> Any:
    """Return Ray's message; the one without entries clears."""
    return autoscaler.ClusterResourceConstraint(resource_requests=[_by_count(wish) for wish in wishes])


def _by_count(wish: RequestedDemand) -> Any:
    request = autoscaler.ResourceRequest(
        resources_bundle=wish.shape.amounts(), label_selectors=[_selector(where) for where in wish.selectors]
    )
    return autoscaler.ResourceRequestByCount(request=request, count=wish.count)


def _selector(selector: LabelSelector) -> Any:
    operator = common.LabelSelectorOperator.Value
    return common.LabelSelector(
        label_constraints=[
            common.LabelSelectorConstraint(
                label_key=match.key,
                operator=operator("LABEL_OPERATOR_NOT_IN" if match.negated else "LABEL_OPERATOR_IN"),
                label_values=list(match.values),
            )
            for match in selector.matches
        ]
    )
