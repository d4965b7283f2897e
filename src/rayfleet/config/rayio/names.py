"""Names that checks of a resource and whoever makes pods of it share."""

from __future__ import annotations

from typing import Final

HEAD_GROUP: Final = "headgroup"
LABEL_MAX: Final = 63
FT_ANNOTATION: Final = "ray.io/ft-enabled"
STORAGE_NAMESPACE_ANNOTATION: Final = "ray.io/external-storage-namespace"
DELETION_TIMEOUT_ANNOTATION: Final = "ray.io/gcs-ft-deletion-timeout"
AUTOSCALER_ANNOTATION: Final = "rayfleet.io/autoscaler"
"""On a RayCluster: where its autoscaler is to work (one of `AUTOSCALER_PLACES`); on a head's pod: where it does."""
AUTOSCALER_PLACES: Final = ("sidecar", "central")

TLS_VOLUME: Final = "ray-tls"
TLS_PATH: Final = "/etc/ray/tls"
TLS_VARIABLES: Final = {
    "RAY_USE_TLS": "1",
    "RAY_TLS_SERVER_CERT": f"{TLS_PATH}/tls.crt",
    "RAY_TLS_SERVER_KEY": f"{TLS_PATH}/tls.key",
    "RAY_TLS_CA_CERT": f"{TLS_PATH}/ca.crt",
}
