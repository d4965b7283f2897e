"""`suspend` and `resume` in Kubernetes: one field of the resource, and what its operator makes of it is waited for."""

from __future__ import annotations

from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.up import Tell, until_ready
from rayfleet.launcher.kube.view import View
from rayfleet.wire.kube.errors import NotFound
from rayfleet.wire.kube.kube import Kube


async def set_suspended(kube: Kube, target: Target, tell: Tell, limit_s: float, *, suspended: bool) -> View:
    """Set `spec.suspend`; return when no pod is left, or when everything is there again.

    Raises:
        LauncherError: there is no such resource.
        Failed, TookTooLong: see `until_ready`.
    """
    subject = f"{target.kind.name} {target.key}"
    try:
        live = await kube.get(target.kind, target.key)
        if bool((live.get("spec") or {}).get("suspend")) is suspended:
            tell(f"{subject} {'is to be' if suspended else 'is not'} suspended already")
        else:
            tell(f"change {subject}\n  spec.suspend: {'false -> true' if suspended else 'true -> false'}")
            await kube.patch(target.kind, target.key, {"spec": {"suspend": suspended}})
    except NotFound as error:
        raise LauncherError(f"there is no {subject}", "rayfleet up FILE makes what a file describes") from error
    return await until_ready(kube, target, tell, limit_s)
