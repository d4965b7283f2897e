"""Azure's clients, made at the first call; every call in a thread, none while Azure wants to be left alone."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from rayfleet.contracts import Denied, Flaky
from rayfleet.model import OfferKey
from rayfleet.providers.azure.errors import retry_after_s, translated
from rayfleet.providers.azure.settings import Settings

T = TypeVar("T")

METADATA: Final = "http://169.254.169.254"
METADATA_VARIABLE: Final = "AZURE_METADATA_SERVICE_ENDPOINT"
"""Names another place for the machine's metadata service. Variables named RAYFLEET_ do not reach a controller."""

OWN_PATIENCE_S: Final = (2, 5, 10)
"""How long the metadata service may take, each time: a machine that has just booted has much to do."""

_ONE_ATTEMPT: Final[dict[str, Any]] = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 60}
"""The loop asks again itself, and the clients' own pause after a 429 has no bound."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """The clients, and the subscription that they work in."""

    compute: Any
    network: Any
    resources: Any
    subscription: str


class _NoCredential:
    """Stands where an emulator wants no login."""

    def get_token(self, *scopes: str, **more: Any) -> Any:
        raise AssertionError(f"nobody logs in to an emulator: {scopes} {more}")


class Gate:
    """Shut for as long as Azure has said. `clock`: seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start open."""
        self._clock = clock
        self._opens_at = 0.0

    def shut(self, for_s: float) -> None:
        """Let nothing pass for so many seconds."""
        self._opens_at = max(self._opens_at, self._clock() + for_s)

    def check(self) -> None:
        """Raise Flaky while it is shut."""
        left = self._opens_at - self._clock()
        if left > 0:
            raise Flaky(f"429: Azure has asked for a pause; {left:.0f} s of it are left")


class Clients:
    """Runs functions of the clients in threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep what the clients are made from."""
        self._settings = settings
        self._gate = Gate(clock)
        self._lock = threading.Lock()
        self._sdk: Sdk | None = None
        self._pool = ThreadPoolExecutor(settings.max_calls, thread_name_prefix="azure")

    async def run(self, work: Callable[[Sdk], T], offer: OfferKey | None = None) -> T:
        """Return what `work` returns, with Azure's errors as the contract's; they concern `offer`.

        Raises:
            OutOfStock, QuotaReached, Denied, Gone, Flaky.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._guarded, work, offer)

    def _guarded(self, work: Callable[[Sdk], T], offer: OfferKey | None) -> T:
        self._gate.check()
        try:
            return work(self._clients())
        except AzureError as error:
            pause = retry_after_s(error)
            if pause is not None:
                self._gate.shut(pause)
            raise translated(error, offer) from error

    def _clients(self) -> Sdk:
        with self._lock:
            if self._sdk is None:
                self._sdk = _made(self._settings)
            return self._sdk

    async def close(self) -> None:
        """Let go of connections and threads; what is under way ends first."""
        await asyncio.to_thread(self._pool.shutdown)
        sdk, self._sdk = self._sdk, None
        if sdk is not None:
            for client in (sdk.compute, sdk.network, sdk.resources):
                await asyncio.to_thread(client.close)


def _made(settings: Settings) -> Sdk:
    subscription = settings.subscription_id or _subscription()
    more: dict[str, Any] = {**_ONE_ATTEMPT, "polling_interval": settings.poll_interval_s}
    credential: Any = None
    if settings.endpoint is not None:
        more["base_url"] = settings.endpoint
    if settings.endpoint is not None and urlsplit(settings.endpoint).scheme == "http":
        # The clients refuse to send a token unencrypted; a policy of our own sends none.
        credential, more["authentication_policy"] = _NoCredential(), SansIOHTTPPolicy()
    else:
        credential = DefaultAzureCredential()
        if settings.endpoint is not None:
            more["credential_scopes"] = [f"{settings.endpoint}/.default"]
    # Opened here, by one thread: one that opens while others already use it breaks their calls.
    return Sdk(
        ComputeManagementClient(credential, subscription, **more).__enter__(),
        NetworkManagementClient(credential, subscription, **more).__enter__(),
        ResourceManagementClient(credential, subscription, **more).__enter__(),
        subscription,
    )


def _subscription() -> str:
    """Return the subscription that nobody has named: the environment's, the command line's, this machine's."""
    found = os.environ.get("AZURE_SUBSCRIPTION_ID") or _chosen() or _own()
    if found:
        return found
    raise Denied("no subscription: write provider.subscription_id, set AZURE_SUBSCRIPTION_ID, or run `az login`")


def _chosen() -> str:
    """Return the subscription that `az account set` has chosen, "" when there is none."""
    folder = Path(os.environ.get("AZURE_CONFIG_DIR") or Path("~/.azure").expanduser())
    try:
        profile = json.loads((folder / "azureProfile.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return ""
    return next((str(one["id"]) for one in profile.get("subscriptions", []) if one.get("isDefault")), "")


def _own() -> str:
    """Return the subscription of the machine that this runs on, "" elsewhere."""
    base = os.environ.get(METADATA_VARIABLE, METADATA)
    path = "/metadata/instance/compute/subscriptionId?api-version=2021-02-01&format=text"
    request = urllib.request.Request(base + path, headers={"Metadata": "true"})  # noqa: S310 - http, by definition
    # The service answers on the machine itself; a proxy would answer for itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for patience_s in OWN_PATIENCE_S:
        try:
            with opener.open(request, timeout=patience_s) as answer:
                return str(answer.read().decode()).strip()
        except OSError as error:
            if not isinstance(getattr(error, "reason", error), TimeoutError):
                break  # nobody is there, and nobody will be
    return ""
