"""A pretended Elastic Compute Service of Alibaba Cloud, for the real client library (`endpoint`, protocol http).

    with Ecs() as ecs:
        Settings(region="cn-hangzhou", endpoint=f"http://{ecs.endpoint}", ...)

It answers on 127.0.0.1, or where it is told to. Beside the API: `POST /_fault` (a `Fault` as JSON), `GET /_log` (all
calls so far), `POST /_instance` (`{"id": ..., "gone": true}`, `"status"` or `"locked": "Recycling"`).

It shows that the real client can be driven, and that its answers are understood; not that the cloud behaves so. What it
pretends: client tokens that answer again with the same machines, RunInstances with Amount and MinAmount, stock by zone
and a quota, machines that cannot be deleted while they are Pending, batches that fail as a whole for one unknown id.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from rayfleet.testing.clouds.aliyun_front import Call, Fault, handler
from rayfleet.testing.clouds.aliyun_prices import Prices
from rayfleet.testing.clouds.aliyun_state import (
    IMAGES,
    PAGE_MAX,
    REGION,
    TYPES,
    Instance,
    Network,
    describe_images,
    describe_instance_types,
    described,
)
from rayfleet.testing.clouds.aliyun_wire import Refused, answer, request

BATCH_MAX = 100
"""Machines of one call."""
USER_DATA_BYTES_MAX = 32 * 1024
TOKEN_CHARACTERS_MAX = 64
TAG_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a machine is reached; "" for none."""

    internal: str
    public: str = ""


OnLaunch = Callable[[Instance], Addresses | None]
"""Called once for every machine; `user_data` is decoded. What it returns are the machine's addresses."""
OnGone = Callable[[Instance], None]
"""Called when a machine is released."""


class Ecs:
    """The pretended service. `stock` by zone (absent: plenty), `quota` of machines, `spot_price` of any machine.

    `looks_to_run`: so many listings after it was made a machine is Running; `unseen_looks`: for so many it is not
    listed at all. `templates`: parameters of RunInstances by the template's id. `prices`: what machines cost.
    Attributes may be changed at any time.

    To machines that reach it (`bind`, an address of this machine's), it is their metadata service too, at
    `http://ADDRESS:PORT`: it tells them apart by the address that they come from.
    """

    def __init__(self, *, region: str = REGION, on_launch: OnLaunch | None = None, bind: str = "127.0.0.1") -> None:
        """Start to answer on a free port."""
        self._bind = bind
        self.region = region
        self.on_launch = on_launch
        self.on_gone: OnGone | None = None
        self.stock: dict[str, int] = {}
        self.quota = 10_000
        self.spot_price = 0.1
        self.looks_to_run = 2
        self.unseen_looks = 0
        self.templates: dict[str, dict[str, str]] = {}
        self.instances: dict[str, Instance] = {}
        self.network = Network()
        self.prices = Prices()
        self.faults: list[Fault] = []
        self.log: list[Call] = []
        self._tokens: dict[str, tuple[str, list[str]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer((bind, 0), handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Return host and port."""
        return f"{self._bind}:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def calls(self, action: str) -> list[Call]:
        """Return the calls of one kind so far."""
        return [call for call in self.log if call.action == action]

    def with_tag(self, key: str, value: str) -> list[Instance]:
        """Return the machines that carry a tag."""
        return [instance for instance in self.instances.values() if instance.tags.get(key) == value]

    def recycle(self, instance_id: str) -> None:
        """Announce that a spot machine will be taken away."""
        self.instances[instance_id].locked = "Recycling"

    def answered(self, action: str, parameters: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Carry a call out; return HTTP status and body."""
        fault = self._fault(action, parameters)
        if fault is not None and fault.delay_s:
            threading.Event().wait(fault.delay_s)
        code = ""
        try:
            if fault is not None and not fault.after:
                fault.happen()
            with self._lock:
                body = self._done(action, parameters)
            if fault is not None:
                fault.happen()
            status = 200
        except Refused as error:
            code, status = error.code, error.status
            body = {"Code": error.code, "Message": error.message}
        self.log.append(Call(action, dict(parameters), code))
        return status, {**body, "RequestId": f"request-{len(self.log)}"}

    def metadata(self, address: str, what: str) -> str | None:
        """Return what a machine is told about itself; None for what is not pretended, or an unknown machine."""
        with self._lock:
            asking = next((one for one in self.instances.values() if one.internal == address), None)
        if asking is None:
            return None
        return {"meta-data/instance-id": asking.id, "user-data": asking.user_data}.get(what)

    def forced(self, word: Mapping[str, Any]) -> None:
        """Do what `POST /_instance` asks."""
        with self._lock:
            if word.get("gone"):
                self._remove(self.instances[word["id"]])
                return
            instance = self.instances[word["id"]]
            instance.status = word.get("status", instance.status)
            instance.locked = word.get("locked", instance.locked)

    def _fault(self, action: str, parameters: Mapping[str, str]) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                fits = all(parameters.get(name) == value for name, value in fault.where.items())
                if fault.times > 0 and fault.action in ("*", action) and fits:
                    fault.times -= 1
                    return fault
        return None

    def _done(self, action: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        asked = request(action, parameters)
        if getattr(asked, "region_id", self.region) != self.region and "RegionId" in parameters:
            raise Refused("InvalidRegionId.NotFound", "the region does not exist", 404)
        calls = self._calls()
        if action not in calls:
            raise Refused("InvalidAction.NotFound", f"{action} is not pretended here", 404)
        return answer(action, calls[action](asked))

    def _calls(self) -> dict[str, Callable[[Any], dict[str, Any]]]:
        network = self.network
        return {
            "RunInstances": self._run,
            "DescribeInstances": self._describe,
            "StartInstances": self._start,
            "StopInstances": self._stop,
            "DeleteInstances": self._delete,
            "TagResources": self._tag,
            "ModifyInstanceAttribute": self._modify,
            "DescribeImages": describe_images,
            "DescribeInstanceTypes": describe_instance_types,
            "CreateVpc": network.create_vpc,
            "DescribeVpcs": network.describe_vpcs,
            "CreateVSwitch": network.create_v_switch,
            "DescribeVSwitches": network.describe_v_switches,
            "CreateSecurityGroup": network.create_security_group,
            "DescribeSecurityGroups": network.describe_security_groups,
            "DescribeSecurityGroupAttribute": network.describe_security_group_attribute,
            "AuthorizeSecurityGroup": network.authorize_security_group,
            "ImportKeyPair": network.import_key_pair,
            "DescribeKeyPairs": network.describe_key_pairs,
            "DescribePrice": self.prices.describe,
            "DescribeSpotPriceHistory": self.prices.history,
        }

    def _run(self, asked: Any) -> dict[str, Any]:
        token = asked.client_token or ""
        said = json.dumps(asked.to_map(), sort_keys=True)
        if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            raise Refused("InvalidParameter", "ClientToken has 64 ASCII characters at most")
        if token in self._tokens:
            before, made = self._tokens[token]
            if before != said:
                raise Refused("IdempotentParameterMismatch", "the client token was used with other parameters")
            return {"InstanceIdSets": {"InstanceIdSet": made}}
        asked = self._with_template(asked)
        zone = self._checked(asked)
        count = self._granted(asked, zone)
        made = [self._made(asked, zone) for _ in range(count)]
        if token:
            self._tokens[token] = said, made
        return {"InstanceIdSets": {"InstanceIdSet": made}}

    def _with_template(self, asked: Any) -> Any:
        """Return the request with what its launch template says and it does not."""
        if not asked.launch_template_id:
            return asked
        if asked.launch_template_id not in self.templates:
            raise Refused("InvalidLaunchTemplateId.NotFound", "the launch template does not exist", 404)
        said = {name: value for name, value in asked.to_map().items() if value not in (None, [])}
        return type(asked)().from_map({**self.templates[asked.launch_template_id], **said})

    def _checked(self, asked: Any) -> str:
        """Return the zone of a request in which everything exists."""
        if asked.image_id not in IMAGES:
            raise Refused("InvalidImageId.NotFound", "the image does not exist", 404)
        if asked.instance_type not in TYPES:
            raise Refused("InvalidInstanceType.NotFound", "the type does not exist", 404)
        switch = self.network.vswitches.get(asked.v_switch_id)
        if switch is None:
            raise Refused("InvalidVSwitchId.NotFound", "the vSwitch does not exist", 404)
        for group in asked.security_group_ids or [asked.security_group_id]:
            if group not in self.network.groups:
                raise Refused("InvalidSecurityGroupId.NotFound", "the security group does not exist", 404)
        if asked.key_pair_name and asked.key_pair_name not in self.network.key_pairs:
            raise Refused("InvalidKeyPairName.NotFound", "the key pair does not exist", 404)
        if asked.spot_strategy == "SpotWithPriceLimit" and (asked.spot_price_limit or 0) < self.spot_price:
            raise Refused("OperationDenied.SpotPriceLowerThanPublicPrice", "the limit is below the price", 403)
        _check_sizes(asked)
        return str(switch["ZoneId"])

    def _granted(self, asked: Any, zone: str) -> int:
        """Return how many machines there are to give: as many as asked, or at least the least."""
        amount = asked.amount or 1
        least = asked.min_amount or amount
        if not 1 <= least <= amount <= BATCH_MAX:
            raise Refused("InvalidParameter", f"Amount is 1 to {BATCH_MAX}, MinAmount not more than that")
        free = self.quota - len(self.instances)
        if free < least:
            raise Refused("QuotaExceed.ElasticQuota", "no additional quota for the instance type", 403)
        there = self.stock.get(zone, amount)
        if there < least:
            raise Refused("OperationDenied.NoStock", "the resource is sold out in the zone", 403)
        count = min(amount, free, there)
        if zone in self.stock:
            self.stock[zone] -= count
        return count

    def _made(self, asked: Any, zone: str) -> str:
        number = next(self._numbers)
        tags = {tag.key: tag.value for tag in asked.tag or ()}
        data = base64.b64decode(asked.user_data or "").decode()
        made = Instance(f"i-bp{number:012d}", zone, asked.instance_type, tags, data, asked)
        place = self.on_launch(made) if self.on_launch else None
        tail = f"{number // 250 % 250}.{number % 250 + 1}"
        if place is None:
            place = Addresses(f"127.78.{tail}", f"127.79.{tail}" if asked.internet_max_bandwidth_out else "")
        made.internal, made.public = place.internal, place.public
        self.instances[made.id] = made
        return made.id

    def _describe(self, asked: Any) -> dict[str, Any]:
        wanted = json.loads(asked.instance_ids) if asked.instance_ids else None
        tags = [(tag.key, tag.value) for tag in asked.tag or ()]
        found = [
            instance
            for instance in self.instances.values()
            if (wanted is None or instance.id in wanted)
            and all(instance.tags.get(key) == value for key, value in tags)
            and self._looked_at(instance)
        ]
        size = asked.max_results or asked.page_size or 10
        if size > PAGE_MAX:
            raise Refused("InvalidParameter", f"a page has {PAGE_MAX} machines at most")
        start = int(asked.next_token or 0) if asked.max_results else ((asked.page_number or 1) - 1) * size
        rows = [described(instance, self.region) for instance in found[start : start + size]]
        more = {"NextToken": str(start + size)} if asked.max_results and len(found) > start + size else {}
        return {"Instances": {"Instance": rows}, "TotalCount": len(found), "PageSize": size, **more}

    def _looked_at(self, instance: Instance) -> bool:
        """Have a machine get on; say whether it is listed yet."""
        instance.looks += 1
        if instance.looks <= self.unseen_looks:
            return False
        if instance.status == "Pending" and instance.looks > self.unseen_looks + 1:
            instance.status = "Starting"
        elif instance.status == "Starting" and instance.looks > self.unseen_looks + self.looks_to_run:
            instance.status = "Running"
        elif instance.status == "Stopping":
            instance.status = "Stopped"
        return True

    def _start(self, asked: Any) -> dict[str, Any]:
        named = self._named(asked)
        if any(instance.status != "Stopped" for instance in named):
            raise Refused("IncorrectInstanceStatus", "only what is Stopped can be started", 403)
        for zone in {instance.zone for instance in named}:
            if self.stock.get(zone, 1) < 1:
                raise Refused("OperationDenied.NoStock", "the resource is sold out in the zone", 403)
        for instance in named:
            instance.status = "Starting"
        return {}

    def _stop(self, asked: Any) -> dict[str, Any]:
        named = self._named(asked)
        if any(instance.status in ("Pending", "Starting") for instance in named):
            raise Refused("IncorrectInstanceStatus", "only what is Running can be stopped", 403)
        for instance in named:
            instance.status = "Stopping" if instance.status == "Running" else instance.status
        return {}

    def _delete(self, asked: Any) -> dict[str, Any]:
        named = self._named(asked)
        if any(instance.status == "Pending" for instance in named):
            raise Refused("IncorrectInstanceStatus.Initializing", "the machine is being made", 403)
        if not asked.force and any(instance.status != "Stopped" for instance in named):
            raise Refused("IncorrectInstanceStatus", "only what is Stopped can be released", 403)
        for instance in named:
            self._remove(instance)
        return {}

    def _remove(self, instance: Instance) -> None:
        del self.instances[instance.id]
        if self.on_gone is not None:
            self.on_gone(instance)

    def _tag(self, asked: Any) -> dict[str, Any]:
        if len(asked.resource_id or ()) > PAGE_MAX // 2:
            raise Refused("NumberExceed.ResourceIds", "50 resources at most")
        _check_tags(asked.tag)
        for instance_id in asked.resource_id:
            if instance_id not in self.instances:
                raise Refused("InvalidResourceId.NotFound", "the machine does not exist", 404)
        for instance_id in asked.resource_id:
            self.instances[instance_id].tags.update({tag.key: tag.value or "" for tag in asked.tag})
        return {}

    def _modify(self, asked: Any) -> dict[str, Any]:
        instance = self.instances.get(asked.instance_id)
        if instance is None:
            raise Refused("InvalidInstanceId.NotFound", "the machine does not exist", 404)
        if asked.user_data is not None:
            if instance.status != "Stopped":
                raise Refused("IncorrectInstanceStatus", "user data changes while it is Stopped", 403)
            instance.user_data = base64.b64decode(asked.user_data).decode()
        return {}

    def _named(self, asked: Any) -> list[Instance]:
        ids = asked.instance_id or []
        if not 1 <= len(ids) <= BATCH_MAX:
            raise Refused("InvalidParameter", f"1 to {BATCH_MAX} machines")
        missing = [instance_id for instance_id in ids if instance_id not in self.instances]
        if missing:
            raise Refused("InvalidInstanceId.NotFound", f"{missing[0]} does not exist", 404)
        return [self.instances[instance_id] for instance_id in ids]


def _check_sizes(asked: Any) -> None:
    try:
        data = base64.b64decode(asked.user_data or "", validate=True)
    except binascii.Error as error:
        raise Refused("InvalidUserData.Base64FormatInvalid", "not base64") from error
    if len(data) > USER_DATA_BYTES_MAX:
        raise Refused("InvalidUserData.SizeExceeded", "32 KB at most")
    _check_tags(asked.tag)


def _check_tags(tags: Any) -> None:
    for tag in tags or ():
        if len(tag.key) > TAG_CHARACTERS_MAX or len(tag.value or "") > TAG_CHARACTERS_MAX:
            raise Refused("InvalidTagValue.Malformed", "keys and values have 128 characters at most")
