"""What EC2 is asked about instances that exist: in pages, in bulk, and without minding those that are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rayfleet.contracts import Flaky, ProviderError
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.machines import SPOT_NOTICE_S
from rayfleet.providers.aws.order import CLUSTER_TAG, WAITS_TAG

PAGE: Final = 1000
IDS_OF_A_CALL: Final = 1000
_VALUES_OF_A_FILTER: Final = 200
_UNKNOWN: Final = "InvalidInstanceID"


class Instances:
    """The instances with a cluster's tag."""

    def __init__(self, client: Client, cluster: str) -> None:
        """Take the client and the cluster's name."""
        self._client = client
        self._ours = {"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}

    async def rows(self, *filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return all of ours that pass, gone ones too for as long as they are shown, in O(pages) calls."""
        parameters: dict[str, Any] = {"Filters": [self._ours, *filters], "MaxResults": PAGE}
        rows: list[dict[str, Any]] = []
        while True:
            answer = await self._client.call("ec2", "describe_instances", parameters)
            rows += [row for group in answer["Reservations"] for row in group["Instances"]]
            if not answer.get("NextToken"):
                return rows
            parameters["NextToken"] = answer["NextToken"]

    async def named(self, machine_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return those of these that exist and are ours. A filter, unlike ids, does not mind unknown ones."""
        ids, rows = list(machine_ids), []
        for first in range(0, len(ids), _VALUES_OF_A_FILTER):
            rows += await self.rows({"Name": "instance-id", "Values": ids[first : first + _VALUES_OF_A_FILTER]})
        return [row for row in rows if row["State"]["Name"] not in ("shutting-down", "terminated")]

    async def notices(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Return when spot instances are taken away, by id: one call for all, none where nothing is spot."""
        if not any(row.get("SpotInstanceRequestId") and row["State"]["Name"] == "running" for row in rows):
            return {}
        parameters: dict[str, Any] = {
            "Filters": [{"Name": "status-code", "Values": ["marked-for-termination", "marked-for-stop"]}],
            "MaxResults": PAGE,
        }
        found: dict[str, float] = {}
        while True:
            answer = await self._client.call("ec2", "describe_spot_instance_requests", parameters)
            for each in answer["SpotInstanceRequests"]:
                if "InstanceId" in each:
                    found[each["InstanceId"]] = each["Status"]["UpdateTime"].timestamp() + SPOT_NOTICE_S
            if not answer.get("NextToken"):
                return found
            parameters["NextToken"] = answer["NextToken"]

    async def end(self, machine_ids: Iterable[str]) -> None:
        """Terminate those that exist."""
        await self._each("terminate_instances", machine_ids)

    async def stop(self, machine_ids: Iterable[str]) -> None:
        """Stop those that exist; one that is still starting is marked, so that it is stopped once it runs."""
        ids = list(machine_ids)
        try:
            await self._each("stop_instances", ids)
        except Flaky as error:
            if str(error).partition(":")[0] != "IncorrectInstanceState":
                raise
            left = await self.named(ids)
            ready = [row["InstanceId"] for row in left if row["State"]["Name"] == "running"]
            await self.tag([row["InstanceId"] for row in left if row["State"]["Name"] == "pending"], {WAITS_TAG: "yes"})
            if ready:
                await self._client.call("ec2", "stop_instances", {"InstanceIds": ready})

    async def tag(self, ids: list[str], tags: Mapping[str, str]) -> None:
        """Write tags onto instances."""
        if ids:
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            await self._client.call("ec2", "create_tags", {"Resources": ids, "Tags": pairs})

    async def _each(self, method: str, machine_ids: Iterable[str]) -> None:
        """Do something to instances, a thousand to a call; EC2 refuses a whole call for one that does not exist."""
        ids = [each for each in machine_ids if each.startswith("i-")]
        for first in range(0, len(ids), IDS_OF_A_CALL):
            some = ids[first : first + IDS_OF_A_CALL]
            try:
                await self._client.call("ec2", method, {"InstanceIds": some})
            except ProviderError as error:
                if not str(error).startswith(_UNKNOWN):
                    raise
                left = [row["InstanceId"] for row in await self.named(some)]
                if left:
                    await self._client.call("ec2", method, {"InstanceIds": left})
