"""From a context of the kubeconfig to an API server that one can talk to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rayfleet.launcher.errors import LauncherError
from rayfleet.wire.kube.errors import Forbidden
from rayfleet.wire.kube.kube import Kube

T = TypeVar("T")


def reached(context: str | None, work: Callable[[Kube, str], Awaitable[T]]) -> T:
    """Run `work(kube, namespace)` against the API server of a context (None: the current one), with its namespace.

    Raises:
        LauncherError: the parts of rayfleet that this needs are not installed.
        KubeError: no way there, or what the server refused.
    """
    try:
        from rayfleet.wire.kube.client import KubeClient, find_config
    except ModuleNotFoundError as error:
        hint = "pip install 'rayfleet[kubernetes]'"
        raise LauncherError(f"rayfleet is installed without its Kubernetes parts ({error.name})", hint) from error
    try:
        config = find_config(context)
    except Forbidden as error:
        raise LauncherError(str(error), "KUBECONFIG names the file, --context one of its contexts") from error

    async def within() -> T:
        kube = KubeClient(config)
        try:
            return await work(kube, config.namespace or "default")
        finally:
            await kube.close()

    return asyncio.run(within())
