"""How each cloud's own node config says that a machine is bought on the spot market, and for how much at most.

Read wherever they stand; written where a file says it in rayfleet's words or in the short dialect, so that a provider
finds it in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Node = Mapping[str, Any]

WITHOUT_LIMIT = ("gcp",)
"""Places that take no maximum price: a spot machine costs there what it costs."""


class Spot(NamedTuple):
    """Whether machines are spot ones, and the most that one may cost an hour; None: no limit."""

    wanted: bool
    max_usd_per_hour: float | None = None


def spot_of(node: Node) -> Spot:
    """Return what a node config says, in whichever cloud's words."""
    for found in (_aws(node), _gcp(node), _azure(node), _aliyun(node)):
        if found.wanted:
            return found
    return Spot(wanted=False)


def with_spot(place: str, node: Node, limit: float | None) -> dict[str, Any]:
    """Return a node config that says spot, in the words of `place`; as it is where the place has none."""
    plain = without_spot(node)
    match place:
        case "aws":
            options = {"SpotOptions": {"MaxPrice": f"{limit:g}"}} if limit is not None else {}
            return {**plain, "InstanceMarketOptions": {"MarketType": "spot", **options}}
        case "gcp":
            return {**plain, "scheduling": {**_scheduling(plain), "provisioningModel": "SPOT"}}
        case "azure":
            cap = {"billingProfile": {"maxPrice": limit}} if limit is not None else {}
            parameters = {**_section(plain, "azure_arm_parameters"), "priority": "Spot", **cap}
            return {**plain, "azure_arm_parameters": parameters}
        case "aliyun":  # whose limits are in the account's currency, which only its provider knows
            return {**plain, "SpotStrategy": "SpotAsPriceGo"}
        case _:
            return dict(node)


def without_spot(node: Node) -> dict[str, Any]:
    """Return a node config that says on demand."""
    if not spot_of(node).wanted:
        return dict(node)
    dropped = ("InstanceMarketOptions", "SpotStrategy", "SpotPriceLimit")
    plain = {key: value for key, value in node.items() if key not in dropped}
    if "scheduling" in plain:
        mine = ("preemptible", "provisioningModel", "instanceTerminationAction")
        plain["scheduling"] = {key: value for key, value in _scheduling(plain).items() if key not in mine}
    if "azure_arm_parameters" in plain:
        mine = ("priority", "billingProfile", "evictionPolicy")
        parameters = _section(plain, "azure_arm_parameters")
        plain["azure_arm_parameters"] = {key: value for key, value in parameters.items() if key not in mine}
    return plain


def _aws(node: Node) -> Spot:
    options = _section(node, "InstanceMarketOptions")
    return Spot(options.get("MarketType") == "spot", _amount(_section(options, "SpotOptions").get("MaxPrice")))


def _gcp(node: Node) -> Spot:
    scheduling = _scheduling(node)
    spot = scheduling.get("preemptible") is True or _is(scheduling.get("provisioningModel"), "spot")
    tpu = _section(node, "schedulingConfig")
    return Spot(spot or any(tpu.get(word) is True for word in ("preemptible", "spot")))


def _azure(node: Node) -> Spot:
    parameters = _section(node, "azure_arm_parameters")
    limit = _amount(_section(parameters, "billingProfile").get("maxPrice"))
    # -1 is Azure's word for no limit.
    return Spot(_is(parameters.get("priority"), "spot"), None if limit is None or limit < 0 else limit)


def _aliyun(node: Node) -> Spot:
    """Alibaba's limit (`SpotPriceLimit`) stays the provider's: it is in the account's currency, not in USD."""
    return Spot(node.get("SpotStrategy") in ("SpotAsPriceGo", "SpotWithPriceLimit"))


def _scheduling(node: Node) -> dict[str, Any]:
    """Return Google's `scheduling`, which is a mapping; Ray's examples write it as a list of mappings."""
    found = node.get("scheduling")
    parts = found if isinstance(found, list) else [found]
    return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}


def _section(node: Node, key: str) -> Node:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _is(value: Any, word: str) -> bool:
    return isinstance(value, str) and value.lower() == word


def _amount(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
