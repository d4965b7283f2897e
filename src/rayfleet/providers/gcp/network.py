"""The network that machines get where the user names none, and the two firewall rules that a cluster needs there."""

from __future__ import annotations

import asyncio
from typing import Any

from rayfleet.contracts import Denied, ProviderError
from rayfleet.providers.gcp.bodies import NETWORK_TAG
from rayfleet.providers.gcp.calls import Calls
from rayfleet.providers.gcp.client import CallFailed
from rayfleet.providers.gcp.errors import error
from rayfleet.providers.gcp.settings import Settings

SELF_HELP = "name a network in node_config.networkInterfaces"


class Network:
    """Found once, and kept for as long as the controller runs."""

    def __init__(self, settings: Settings, calls: Calls) -> None:
        """Take how to ask."""
        self._settings = settings
        self._calls = calls
        self._subnetwork = ""
        self._finding = asyncio.Lock()

    async def subnetwork(self, region: str) -> str:
        """Return the subnetwork for machines of that region: `default` if there is one, and see to its firewall.

        Raises:
            Denied: there is none, or we may not look or make the rules.
            Flaky: no answer.
        """
        async with self._finding:
            if not self._subnetwork:
                found = await self._told("listing subnetworks", self._calls.compute.subnetworks, region)
                if not found:
                    raise Denied(f"the project has no subnetwork in {region}: make one, or {SELF_HELP}")
                link, network = found[0]
                if self._settings.firewall:
                    await self._see_to_rules(network)
                self._subnetwork = link
            return self._subnetwork

    async def _see_to_rules(self, network: str) -> None:
        there = {
            name
            for name, of in await self._told("listing firewall rules", self._calls.compute.firewalls)
            if of == network
        }
        for body, enough in self._rules(network):
            if not there & {body["name"], enough}:
                await self._make(body)

    def _rules(self, network: str) -> list[tuple[dict[str, Any], str]]:
        """Return the rules, each with the one of Google's own that makes it needless."""
        end = network.rpartition("/")[2]
        suffix = "" if end == "default" else f"-{end[:40]}"
        common = {"network": network, "direction": "INGRESS", "targetTags": [NETWORK_TAG]}
        everything = [{"IPProtocol": "tcp"}, {"IPProtocol": "udp"}, {"IPProtocol": "icmp"}]
        inside = {**common, "name": f"rayfleet-internal{suffix}", "sourceTags": [NETWORK_TAG], "allowed": everything}
        ssh = [{"IPProtocol": "tcp", "ports": ["22"]}]
        ranges = list(self._settings.ssh_source_ranges)
        outside = {**common, "name": f"rayfleet-ssh{suffix}", "sourceRanges": ranges, "allowed": ssh}
        return [(inside, "default-allow-internal"), (outside, "default-allow-ssh")]

    async def _make(self, body: dict[str, Any]) -> None:
        try:
            operation = await self._calls.once(self._calls.compute.insert_firewall, body)
        except CallFailed as failed:
            if failed.trouble.exists:  # somebody else was quicker
                return
            raise _explained(f"making firewall rule {body['name']}", error(failed.trouble, None)) from failed
        (seen,) = await self._calls.watched((operation,))
        for trouble in seen.troubles:
            if not trouble.exists:
                raise _explained(f"making firewall rule {body['name']}", error(trouble, None))

    async def _told(self, what: str, call: Any, *args: object) -> Any:
        try:
            return await self._calls.told(None, call, *args)
        except Denied as denied:
            if not isinstance(denied.__cause__, CallFailed):
                raise  # no library or no credentials: no right that is missing, and no network would help
            raise _explained(what, denied) from denied


def _explained(what: str, told: ProviderError) -> ProviderError:
    """Say what the user can do about it, where it is the user's to do."""
    if isinstance(told, Denied):
        return Denied(f"{what}: {told}; allow it, set provider.firewall to false, or {SELF_HELP}")
    return told
