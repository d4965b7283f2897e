"""A cluster's figures: offered by its controller, found by Prometheus, and where that is.

metrics.json      where the controller offers them     while it does
prometheus.yml    a scrape configuration, ready to use  from the head's first start until the cluster is down
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rayfleet.config import ConfigInvalid
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import lease
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.spec import stored

if TYPE_CHECKING:
    from rayfleet.wiring import Exporter

_LOOK_S: Final = 5.0
"""Between looks whether the head has started anew: its folder may be another one."""


@asynccontextmanager
async def offered(home: Home, exporter: Exporter | None) -> AsyncIterator[None]:
    """Offer a controller's figures while it works. Where they cannot be, the log says why; it works all the same."""
    from rayfleet.reports.metrics.endpoint import offering

    home.metrics.unlink(missing_ok=True)  # of one that was killed: nobody is there any more
    if exporter is None:
        yield
        return
    async with offering(exporter.metrics.registry, RaySettings.load(home.path).host, exporter.port) as endpoint:
        if endpoint is None:
            yield
            return
        with suppress(OSError):  # a full disk keeps only `rayfleet metrics` from knowing
            home.write(home.metrics, json.dumps({"address": endpoint.address}))
        exporter.announce(endpoint.address)
        writing = asyncio.create_task(_keep_scrape_config(home, exporter.metrics.about.namespace))
        try:
            yield
        finally:
            home.metrics.unlink(missing_ok=True)
            writing.cancel()


async def _keep_scrape_config(home: Home, namespace: str) -> None:
    """Write the scrape configuration when a head has started, and again when another one has."""
    written = ""
    while True:
        text = scrape_text(home, namespace)
        if text and text != written:
            with suppress(OSError):  # a full disk; it is tried again
                home.write(home.scrape, text)
                written = text
        await asyncio.sleep(_LOOK_S)


def scrape_text(home: Home, namespace: str) -> str:
    """Return the scrape configuration of a cluster whose head has started, "" while none has."""
    from rayfleet.reports.metrics.scraping import DISCOVERY_FILE, Scraped, scrape_config

    try:
        told = json.loads(RaySettings.load(home.path).head_path.read_text(encoding="utf-8"))
        discovery = Path(told["session_dir"]).parent / DISCOVERY_FILE
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return scrape_config(Scraped(home.name, namespace, str(discovery)))


@dataclass(frozen=True, slots=True)
class Where:
    """Where a cluster's figures are. `scrape`: path of the scrape configuration, "" while there is none yet."""

    cluster: str
    url: str
    scrape: str

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


PROMETHEUS_VARIABLE: Final = "RAY_PROMETHEUS_HOST"
"""By which Ray's own dashboard is told where Prometheus is."""


def prometheus(home: Home) -> str:
    """Return the address of the Prometheus that keeps a cluster's figures, by its file or Ray's variable; "": none."""
    try:
        told = stored(home).monitoring.prometheus_url
    except (ConfigInvalid, LauncherError):  # which whoever starts the cluster is told
        told = None
    return told or os.environ.get(PROMETHEUS_VARIABLE, "").rstrip("/")


def where(home: Home) -> Where:
    """Return where the cluster's figures are.

    Raises:
        LauncherError: they are not offered; the hint says how they would be.
    """
    if lease.controller(home) is None:
        raise LauncherError(f"nobody controls cluster {home.name} now", f"rayfleet up {home.name}")
    try:
        address = json.loads(home.metrics.read_text(encoding="utf-8"))["address"]
    except FileNotFoundError:
        hint = f"rayfleet logs {home.name} says why; `monitoring_config.prometheus` of its file may turn them off"
        raise LauncherError(f"the controller of {home.name} offers no metrics", hint) from None
    return Where(home.name, f"http://{address}/metrics", str(home.scrape) if home.scrape.exists() else "")
