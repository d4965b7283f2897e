"""The environment in which Ray's own commands and clients find a cluster and its token, in any shell."""

from __future__ import annotations

from rayfleet.engines.ray.settings import RaySettings


def client_environment(settings: RaySettings) -> dict[str, str]:
    """Return the variables under which `ray.init()`, `address="auto"`, `ray status`, `ray job submit`, ... just work.

    The token itself is not among them, only the file that holds it.
    """
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(settings.token_path)} if settings.token_auth else {}
    return {
        **auth,
        # The GCS's address, not the dashboard's: `ray summary`, `ray memory` and drivers take no other.
        "RAY_ADDRESS": settings.gcs_address,
        # What `ray job` and the state commands look at first.
        "RAY_API_SERVER_ADDRESS": settings.dashboard_url,
    }
