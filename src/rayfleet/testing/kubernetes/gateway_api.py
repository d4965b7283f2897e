"""As much of the Gateway API's resources as objects can be kept by: for tests, never for a cluster that people use."""

from __future__ import annotations

from typing import Any

from rayfleet.testing.kubernetes.api import Json

GROUP = "gateway.networking.k8s.io"
_PLURALS = {"Gateway": "gateways", "HTTPRoute": "httproutes"}
_ANYTHING: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definitions() -> list[Json]:
    """Return the CustomResourceDefinitions of Gateway and HTTPRoute, which take whatever is written."""
    return [_definition(kind, plural) for kind, plural in _PLURALS.items()]


def _definition(kind: str, plural: str) -> Json:
    schema = {"type": "object", "properties": {"spec": dict(_ANYTHING), "status": dict(_ANYTHING)}}
    version: dict[str, Any] = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    # The API server lets nobody define a kind of this group without a word about who has approved it.
    approved = {"api-approved.kubernetes.io": "unapproved, for tests"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "annotations": approved},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }
