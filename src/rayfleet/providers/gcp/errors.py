"""Google's errors in the contract's five words, always with Google's own code in the message.

An error comes as an exception of a call, or in an operation that a call has begun. 403 means three things: a quota, too
many calls, or not allowed; the reason tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from rayfleet.contracts import Denied, Flaky, Gone, OutOfStock, ProviderError, QuotaReached
from rayfleet.model import Market, OfferKey

_FEWER: Final = "VM_MIN_COUNT_NOT_REACHED"
"""How a bulkInsert that has made nothing is summed up, beside the reason and sometimes without it."""
_STOCK: Final = (
    "ZONE_RESOURCE_POOL_EXHAUSTED", "REGION_RESOURCE_POOL_EXHAUSTED", "STOCKOUT", "INSUFFICIENTCAPACITY",
    "IP_SPACE_EXHAUSTED", _FEWER,
)  # fmt: skip
_QUOTA: Final = ("QUOTA_EXCEEDED", "QUOTAEXCEEDED", "LIMITEXCEEDED")
_THROTTLED: Final = (
    "RATELIMITEXCEEDED", "USERRATELIMITEXCEEDED", "RATE_LIMIT_EXCEEDED",
    "RESOURCEOPERATIONRATEEXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED",
    "CONCURRENTOPERATIONSQUOTAEXCEEDED", "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED",
)  # fmt: skip
_LATER: Final = (
    "RESOURCE_NOT_READY", "RESOURCENOTREADY", "INTERNAL_ERROR", "BACKENDERROR", "BACKEND_ERROR", "RESOURCE_IN_USE",
    "SERVICE_UNAVAILABLE", "TIMEOUT", "OPERATION_TIMEOUT", "DEADLINE_EXCEEDED",
)  # fmt: skip
_NO_STOCK: Final = ("does not have enough resources", "no more capacity")
_EXHAUSTED: Final = "RESOURCE_EXHAUSTED"
_PREEMPTED_EARLY: Final = "UNSUPPORTED_OPERATION"
"""Seen where a spot machine was taken away while it was being made."""
_AGAIN: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.TOO_MANY_REQUESTS,
)
EXISTS: Final = ("ALREADYEXISTS", "ALREADY_EXISTS", "RESOURCE_ALREADY_EXISTS", "DUPLICATE")
_WHOLE: Final = re.compile(r"^(PREEMPTIBLE_)?(CPUS|CPUS_ALL_REGIONS|INSTANCES|IN_USE_ADDRESSES|DISKS_TOTAL_GB)$")
_METRIC: Final = re.compile(r"Quota '([A-Z0-9_]+)'")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One error: HTTP status (0 when an operation ended so), Google's code or reason, and its words."""

    status: int
    code: str
    message: str

    def __str__(self) -> str:
        """Return it for the user."""
        code = self.code or str(self.status or "error")
        return f"Google Compute Engine: {code}: {self.message}"

    @property
    def exists(self) -> bool:
        """Say whether what was to be made is there already."""
        return self.code.upper() in EXISTS or (self.status == HTTPStatus.CONFLICT and not self.code)

    @property
    def passing(self) -> bool:
        """Say whether the same call may work in a moment: no answer, too many calls, or trouble of Google's own."""
        return error(self, None).trouble is Flaky.trouble and not self.exists


def error(trouble: Trouble, offer: OfferKey | None) -> ProviderError:
    """Return the contract's error. `offer`: what was asked for, None when it was about no offer."""
    kind = _kind(trouble, offer)
    if kind is QuotaReached:
        return QuotaReached(str(trouble), _scope(trouble.message, offer))
    return kind(str(trouble), offer)


def _kind(trouble: Trouble, offer: OfferKey | None) -> type[ProviderError]:
    """Return which of the five it is: by Google's code where it says something, else by the status."""
    code = trouble.code.upper()
    full = code == _EXHAUSTED and "quota" in trouble.message.lower()  # TPUs have one code for both
    if code in _QUOTA or full:
        return QuotaReached
    if code.startswith((*_STOCK, _EXHAUSTED)) or any(words in trouble.message for words in _NO_STOCK):
        return OutOfStock
    if code == _PREEMPTED_EARLY and not trouble.status:
        return OutOfStock
    if code in {*_THROTTLED, *_LATER, *EXISTS} or trouble.status in _AGAIN:
        return Flaky
    if trouble.status == HTTPStatus.NOT_FOUND and offer is None:
        return Gone
    return Flaky if trouble.status >= HTTPStatus.INTERNAL_SERVER_ERROR else Denied


def worst(troubles: Iterable[Trouble]) -> Trouble:
    """Return the one to be told of several: what only the user can change, then stock and quotas, then the rest."""
    order = (Denied, QuotaReached, OutOfStock, Gone, Flaky)
    told = tuple(troubles)
    reasons = tuple(trouble for trouble in told if trouble.code.upper() != _FEWER)
    return min(reasons or told, key=lambda trouble: order.index(type(error(trouble, OfferKey("")))))


def _scope(message: str, offer: OfferKey | None) -> OfferKey | None:
    """Return which offers a quota is about: all of the region where it counts every machine, else this pool there.

    A quota of all regions together is no different: all our offers are in one.
    """
    if offer is None:
        return None
    metric = _METRIC.search(message)
    market = Market.SPOT if metric and metric[1].startswith("PREEMPTIBLE_") else None
    pool = "" if metric is None or _WHOLE.match(metric[1]) else offer.pool
    return OfferKey(pool, offer.provider, offer.region, market=market)
