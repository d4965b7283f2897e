"""What the operator may do, in one table: its roles are made from it, and tests hold it against what the code does.

permissions.py ---(scripts/charts.py)---> the chart's rules ---> roles in the cluster
      ^
      '--- tests record every call that the operator makes: none may be missing here, and none may be too many
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from rayfleet.wire.kube.objects import (
    CONFIG_MAP,
    EVENT,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    LEASE,
    NETWORK_POLICY,
    POD,
    RAY_CLUSTER,
    RAY_CRON_JOB,
    RAY_JOB,
    RAY_SERVICE,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    Kind,
    Object,
)

FINALIZERS: Final = "finalizers"
"""Where the API server checks who may keep an owner from going before what it owns (`blockOwnerDeletion`)."""
RESIZE: Final = "resize"
STATUS: Final = "status"
_FOLLOWED: Final = ("list", "watch")


@dataclass(frozen=True, slots=True)
class Permission:
    """Verbs on a kind. `subresource`: on that part only."""

    kind: Kind
    verbs: tuple[str, ...]
    subresource: str = ""

    @property
    def resource(self) -> str:
        """Return the resource as roles name it."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural


WATCHED: Final = (
    Permission(RAY_CLUSTER, ("get", *_FOLLOWED, "create", "patch", "delete")),
    Permission(RAY_JOB, (*_FOLLOWED, "create", "patch", "delete")),
    Permission(RAY_SERVICE, (*_FOLLOWED, "patch")),
    Permission(RAY_CRON_JOB, _FOLLOWED),
    *(Permission(kind, ("patch",), STATUS) for kind in (RAY_CLUSTER, RAY_JOB, RAY_SERVICE, RAY_CRON_JOB)),
    *(Permission(kind, ("update",), FINALIZERS) for kind in (RAY_CLUSTER, RAY_JOB, RAY_SERVICE, RAY_CRON_JOB)),
    Permission(POD, (*_FOLLOWED, "create", "patch", "delete")),
    Permission(SERVICE, (*_FOLLOWED, "create", "patch", "delete")),
    Permission(SERVICE_ACCOUNT, (*_FOLLOWED, "create")),
    Permission(ROLE, (*_FOLLOWED, "create", "patch")),
    Permission(ROLE_BINDING, (*_FOLLOWED, "create")),
    Permission(JOB, (*_FOLLOWED, "create", "delete")),
    Permission(SECRET, ("get", *_FOLLOWED, "create", "patch")),
    Permission(CONFIG_MAP, ("get", "create", "patch")),
    Permission(VOLUME_CLAIM, (*_FOLLOWED, "create")),
    *(Permission(kind, (*_FOLLOWED, "create", "patch", "delete")) for kind in (INGRESS, NETWORK_POLICY)),
    *(Permission(kind, (*_FOLLOWED, "create", "patch", "delete")) for kind in (GATEWAY, HTTP_ROUTE)),
    Permission(EVENT, ("create",)),
)
"""In every namespace that the operator looks after."""

GRANTED: Final = (
    Permission(POD, ("get",)),
    Permission(POD, ("patch",), RESIZE),
)
"""There too: what the operator itself has no use for, and lets the autoscaler beside a head do. Nobody may give away
rights that they do not have."""

OWN: Final = (Permission(LEASE, ("get", "create", "patch")),)
"""In the operator's own namespace: who of several operators works."""

_VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete")


def rules(permissions: Iterable[Permission]) -> list[Object]:
    """Return the rules of a role that permits this and nothing else: one for each group and set of verbs, in order."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for one in permissions:
        verbs.setdefault((one.kind.group, one.resource), set()).update(one.verbs)
    ordered = sorted((group, tuple(sorted(of, key=_VERBS.index)), resource) for (group, resource), of in verbs.items())
    return [
        {"apiGroups": [group], "resources": [resource for *_, resource in same], "verbs": list(allowed)}
        for (group, allowed), same in groupby(ordered, key=lambda one: one[:2])
    ]
