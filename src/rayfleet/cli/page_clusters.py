"""The clusters that this machine knows, as the dashboard is handed them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rayfleet import wiring
from rayfleet.dashboard.clusters import Entry, Figures, Inside, NoWayIn, OrderRefused
from rayfleet.engines.ray.jobs import RayJobs
from rayfleet.launcher import command, listing, metrics
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home, find, known
from rayfleet.launcher.job import ray_settings


class MyClusters:
    """Those in this user's folder."""

    def known(self) -> tuple[Entry, ...]:
        """Return every cluster, by name."""
        homes = {home.name: home for home in known()}
        return tuple(_entry(found, homes[found.name]) for found in listing.listing() if found.name in homes)

    def figures(self, cluster: str) -> Figures:
        """Return where a cluster's figures are."""
        try:
            home = find(cluster)
            keeper = metrics.prometheus(home)
        except LauncherError as error:
            return Figures(trouble=str(error), hint=error.hint)
        try:
            return Figures(metrics.where(home).url, keeper)
        except LauncherError as error:
            return Figures("", keeper, str(error), error.hint)

    @asynccontextmanager
    async def inside(self, cluster: str) -> AsyncIterator[Inside]:
        """Give the way into a cluster's Ray.

        Raises:
            NoWayIn: it is down, or not on this machine.
        """
        try:
            settings = await asyncio.to_thread(lambda: ray_settings(find(cluster)))
        except LauncherError as error:
            raise NoWayIn(str(error), error.hint) from error
        except (OSError, ValueError, KeyError) as error:  # its files go while we look
            raise NoWayIn(f"cluster {cluster} cannot be reached: {error}") from error
        state = wiring.state(settings)
        try:
            yield Inside(state, RayJobs(settings))
        finally:
            await state.close()

    async def drain(self, cluster: str, node: str, why: str) -> str:
        """Order a machine to be emptied and given back; return what was ordered, in words.

        Raises:
            OrderRefused: it cannot be, or nobody would carry it out.
        """
        try:
            return (await command.drain(find(cluster), node, why)).text
        except LauncherError as error:
            raise OrderRefused(f"{error}{f' ({error.hint})' if error.hint else ''}") from error


def _entry(found: listing.Entry, home: Home) -> Entry:
    if home.is_elsewhere:
        where = f"Its controller and its record are on its head ({found.address or 'address unknown'}), which serves"
        return Entry(found.name, found.state.value, None, f"{where} its page: rayfleet dashboard {found.name}")
    return Entry(found.name, found.state.value, home.history, logs=home.logs)
