"""What we say of a machine, as Google's labels allow it: lower case, digits, `-` and `_`, 63 characters each.

Every other character is written as `_` and two hexadecimal digits per byte, and what is too long goes on in a second
label of the same name with `-2`: whatever was said comes back exactly.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from rayfleet.contracts import LaunchRequest
from rayfleet.model import Market, OfferKey

LENGTH: Final = 63
CLUSTER: Final = "rayfleet-cluster"
BATCH: Final = "rayfleet-batch"
POOL: Final = "rayfleet-pool"
HEAD: Final = "rayfleet-head"
OFFER: Final = "rayfleet-offer"
CLAIM: Final = "rayfleet-claim"
_OFFER_PARTS: Final = ("provider", "region", "zone", "market")
_DIGEST: Final = 10


def encode(text: str) -> str:
    """Return the text in characters that a label may have."""
    return "".join(c if re.fullmatch(r"[a-z0-9-]", c) else "".join(f"_{b:02x}" for b in c.encode()) for c in text)


def decode(text: str) -> str:
    """Return what was encoded."""
    raw = re.sub(rb"_([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())
    return raw.decode(errors="replace")


def write(key: str, text: str) -> dict[str, str]:
    """Return the labels that say this."""
    code = encode(text)
    parts = [code[start : start + LENGTH] for start in range(0, max(len(code), 1), LENGTH)]
    return {key if not index else f"{key}-{index + 1}": part for index, part in enumerate(parts)}


def read(labels: Mapping[str, str], key: str) -> str:
    """Return what labels say under a key, "" when nothing."""
    code, index = labels.get(key, ""), 2
    while f"{key}-{index}" in labels:
        code, index = code + labels[f"{key}-{index}"], index + 1
    return decode(code)


def cluster_label(cluster: str) -> str:
    """Return the value by which a cluster's machines are found: its name as it is, or shortened with a digest."""
    if re.fullmatch(r"[a-z0-9-]{1,63}", cluster):
        return cluster
    return f"{slug(cluster)[: LENGTH - _DIGEST - 1]}_{digest(cluster)}"


def slug(text: str) -> str:
    """Return a text as the beginning of a machine's name: it starts with a letter, ends with no hyphen."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return plain if plain[:1].isalpha() else f"r{plain}"


def digest(*parts: str) -> str:
    """Return few characters that stand for all of this."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGEST]


def of_request(cluster: str, request: LaunchRequest) -> dict[str, str]:
    """Return the labels of a launch's machines."""
    offer, said = request.offer, {CLUSTER: cluster_label(cluster)}
    values = (offer.provider, offer.region, offer.zone, offer.market and str(offer.market))
    for part, value in zip(_OFFER_PARTS, values, strict=True):
        said |= write(f"{OFFER}-{part}", value) if value is not None else {}
    head = {HEAD: "yes"} if request.head else {}
    return said | write(BATCH, request.batch) | write(POOL, offer.pool) | head


def offer_of(labels: Mapping[str, str]) -> OfferKey:
    """Return the offer that a machine came from."""
    provider, region, zone, market = (
        read(labels, f"{OFFER}-{part}") if f"{OFFER}-{part}" in labels else None for part in _OFFER_PARTS
    )
    return OfferKey(read(labels, POOL), provider, region, zone, Market(market) if market else None)
