"""From a pool's `node_config` to the parameters of one RunInstances call. Pure.

Where an offer leaves the zone open, a fleet is asked instead: `fleet` makes its call of the same parameters.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any, Final

from rayfleet.contracts import Denied, LaunchRequest, TypeConfig
from rayfleet.model import Market, OfferKey
from rayfleet.providers.aws.images import DEFAULT_DISK, LATEST_DLAMI, default_image

CLUSTER_TAG: Final = "rayfleet-cluster"
BATCH_TAG: Final = "rayfleet-batch"
POOL_TAG: Final = "rayfleet-pool"
HEAD_TAG: Final = "rayfleet-head"
OFFER_TAG: Final = "rayfleet-offer"
SCRIPT_TAG: Final = "rayfleet-script"
"""What the machine runs, as a hash: one that waits with another script is of no use any more."""
WAITS_TAG: Final = "rayfleet-waits"
"""`yes`: it is to be stopped, or is."""
STARTED_TAG: Final = "rayfleet-started"
"""The batch that it was last started again for."""

DEFAULT_TYPE: Final = "m5.large"
USER_DATA_BYTES: Final = 16384
_TAG_VALUE: Final = 256
_OURS: Final = (
    "MinCount",
    "MaxCount",
    "ClientToken",
    "DryRun",
    "SubnetIds",
    "SubnetId",
    "UserData",
    "TagSpecifications",
)
_BOUNDARY: Final = "==rayfleet=="


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a pool's machines are put. `subnets` as (id, zone); empty, like `groups`, where the pool's own words do.

    `template`: what the launch template that it names says; `profile`: the head's own instance profile.
    """

    subnets: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    template: Mapping[str, Any] | None = None
    profile: str = ""

    def in_zone(self, zone: str | None) -> tuple[str | None, ...]:
        """Return the subnets to be tried, in order; None: the pool's own words decide."""
        if not self.subnets:
            return (None,)
        return tuple(subnet for subnet, its_zone in self.subnets if zone in (None, its_zone))


@dataclass(frozen=True, slots=True)
class Order:
    """What the calls of one batch share. `key_name`: of pools that name none."""

    cluster: str
    request: LaunchRequest
    config: TypeConfig
    ground: Ground
    user_data: str | bytes
    script_hash: str
    waits: bool = False
    key_name: str | None = None

    def parameters(self, subnet: str | None, count: int, token: str) -> dict[str, Any]:
        """Return the parameters for up to `count` machines in one subnet."""
        node = {key: value for key, value in self.config.node_config.items() if key not in _OURS}
        known = {**(self.ground.template or {}), **node}
        market = self._market(known)
        if self.request.offer.market is not None and _says_spot(node):
            del node["InstanceMarketOptions"]
        found: dict[str, Any] = {**self._defaults(known), **node, **market}
        if str(found.get("ImageId", "")).lower() == LATEST_DLAMI:
            found["ImageId"] = default_image("g5.xlarge")
        if subnet is not None:
            found["SubnetId"] = subnet
        if self.user_data:
            found["UserData"] = self.user_data
        if self.waits:
            found["MetadataOptions"] = {**found.get("MetadataOptions", {}), "InstanceMetadataTags": "enabled"}
        found["TagSpecifications"] = self._tags(self.config.node_config.get("TagSpecifications", ()))
        return {**found, "MinCount": 1, "MaxCount": count, "ClientToken": token}

    def _defaults(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return what nobody has said: with a launch template, only what is missing in it."""
        kind = self.config.instance_type or known.get("InstanceType") or DEFAULT_TYPE
        filled: dict[str, Any] = {"InstanceType": kind, "ImageId": default_image(kind)}
        if "ImageId" not in known:  # of another image it is not known which device is the root's
            filled["BlockDeviceMappings"] = DEFAULT_DISK
        if self.ground.groups:
            filled["SecurityGroupIds"] = list(self.ground.groups)
        if self.ground.profile:
            filled["IamInstanceProfile"] = {"Name": self.ground.profile}
        if self.key_name:
            filled["KeyName"] = self.key_name
        return {key: value for key, value in filled.items() if key not in known}

    def _market(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return InstanceMarketOptions for the offer's market, with the pool's own options and price limit."""
        asked: Mapping[str, Any] = known.get("InstanceMarketOptions", {})
        if self.request.offer.market is Market.ON_DEMAND:
            _refuse_spot(self.ground.template or {})
        if self.request.offer.market is not Market.SPOT:
            return {}
        options = {"SpotInstanceType": "one-time", **asked.get("SpotOptions", {})}
        if self.config.spot_max_usd_per_hour is not None:
            options.setdefault("MaxPrice", str(self.config.spot_max_usd_per_hour))
        return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}

    def _tags(self, given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Merge the pool's own tags with ours, which win; what it says of other resources stays."""
        request = self.request
        instance = {
            "Name": f"rayfleet-{self.cluster}-{'head' if request.head else 'worker'}",
            **{
                tag["Key"]: tag.get("Value", "")
                for each in given
                if each.get("ResourceType") == "instance"
                for tag in each.get("Tags", ())
            },
            CLUSTER_TAG: self.cluster,
            BATCH_TAG: request.batch,
            POOL_TAG: request.pool.name,
            HEAD_TAG: "yes" if request.head else "",
            OFFER_TAG: offer_to_tag(request.offer),
            SCRIPT_TAG: self.script_hash,
            WAITS_TAG: "yes" if self.waits else "",
        }
        long = [key for key, value in instance.items() if len(value) > _TAG_VALUE]
        if long:
            raise Denied(f"tag {long[0]} would be longer than EC2 allows ({_TAG_VALUE}): shorten the pool's name")
        tags = [{"Key": key, "Value": value} for key, value in instance.items()]
        rest = [dict(each) for each in given if each.get("ResourceType") != "instance"]
        return [{"ResourceType": "instance", "Tags": tags}, *rest]


def _says_spot(node: Mapping[str, Any]) -> bool:
    """Say whether spot instances are asked for; there are other markets, which are nobody else's business."""
    return bool((node.get("InstanceMarketOptions") or {}).get("MarketType") == "spot")


def _refuse_spot(template: Mapping[str, Any]) -> None:
    """Refuse a template that says spot: a launch cannot override that to on-demand."""
    if _says_spot(template):
        raise Denied("the launch template asks for spot instances, but this offer is on-demand: take it out there")


def token_of(salt: str, cluster: str, batch: str, part: int, subnet: str | None) -> str:
    """Return the client token of one call: the same for a repetition, another one for anything else."""
    return hashlib.sha256(json.dumps([salt, cluster, batch, part, subnet]).encode()).hexdigest()


def offer_to_tag(offer: OfferKey) -> str:
    """Return an offer as a tag's value."""
    return json.dumps([offer.pool, offer.provider, offer.region, offer.zone, offer.market], separators=(",", ":"))


def offer_from_tag(value: str) -> OfferKey:
    """Return the offer of a tag's value."""
    pool, provider, region, zone, market = json.loads(value)
    return OfferKey(pool, provider, region, zone, Market(market) if market else None)


def packed_user_data(script: str, own: str) -> str | bytes:
    """Return user-data of our script and the user's own, compressed when it is long.

    Raises:
        Denied: it is too long all the same.
    """
    text = _joined(script, own) if script and own else script or own
    if len(text.encode()) <= USER_DATA_BYTES:
        return text
    packed = gzip.compress(text.encode(), mtime=0)
    if len(packed) > USER_DATA_BYTES:
        raise Denied(
            f"what the machine is to run at its first boot has {len(packed)} bytes compressed, and EC2 takes "
            f"{USER_DATA_BYTES}: shorten UserData or the commands, or put them into a file that they fetch"
        )
    return packed


def _joined(script: str, own: str) -> str:
    """Return both as cloud-init reads several: the user's part first. The same text every time, for it has a token."""
    whole = MIMEMultipart(boundary=_BOUNDARY)
    for text in (own, script):
        whole.attach(MIMEText(text, _cloud_init_type(text), "utf-8"))
    return whole.as_string()


def _cloud_init_type(text: str) -> str:
    if text.startswith("#!"):
        return "x-shellscript"
    if text.startswith("#cloud-config"):
        return "cloud-config"
    return "plain"  # cloud-init then looks for itself
