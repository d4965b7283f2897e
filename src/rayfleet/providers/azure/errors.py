"""Azure's codes and what they mean to whoever asked. What is not listed and not the caller's fault is Flaky."""

from __future__ import annotations

from typing import Any, Final

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from rayfleet.contracts import Denied, Flaky, Gone, OutOfStock, ProviderError, QuotaReached
from rayfleet.model import OfferKey, Trouble

_CODES: Final[dict[str, type[ProviderError]]] = {
    **dict.fromkeys(
        (
            "SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest", "SpotPriceGreaterThanProvidedMaxPrice", "ZoneNotSupported",
            "AvailabilityZoneNotSupported", "SubnetIsFull", "SubnetWithInsufficientAddresses",
        ),
        OutOfStock,
    ),
    **dict.fromkeys(
        ("QuotaExceeded", "PublicIPCountLimitReached", "PublicIpAddressCountLimitReached", "ResourceQuotaExceeded",
         "NetworkInterfaceCountLimitReached", "ResourceCountExceedsLimitDueToTemplate", "SpotQuotaExceeded"),
        QuotaReached,
    ),
    **dict.fromkeys(("ResourceNotFound", "NotFound", "ResourceGroupNotFound"), Gone),
    **dict.fromkeys(
        ("InvalidResourceReference", "ReferencedResourceNotProvisioned", "PrincipalNotFound",
         "ResourceGroupBeingDeleted", "NicReservedForAnotherVm"),
        Flaky,
    ),
    **dict.fromkeys(
        ("AuthorizationFailed", "LinkedAuthorizationFailed", "RequestDisallowedByPolicy", "SubscriptionNotFound",
         "ReadOnlyDisabledSubscription", "ImageNotFound", "PlatformImageNotFound", "GalleryImageNotFound",
         "InvalidResourceLocation", "PropertyChangeNotAllowed", "MarketplacePurchaseEligibilityFailed",
         "ExpiredAuthenticationToken", "InvalidAuthenticationTokenTenant", "LocationNotAvailableForResourceType",
         "SubscriptionNotRegistered", "MissingSubscriptionRegistration", "ScopeLocked"),
        Denied,
    ),
}  # fmt: skip
_THROTTLED: Final = 429
_REQUEST_TIMEOUT: Final = 408
_SERVER: Final = 500
_ACCESS: Final = (401, 403)
_WAIT_MAX_S: Final = 300.0


def kind_of(code: str, status: int, message: str) -> type[ProviderError]:
    """Return which of the contract's errors an answer is."""
    if code == "OperationNotAllowed":
        return QuotaReached if "quota" in message.lower() else Denied
    if code in _CODES:
        return _CODES[code]
    if status in _ACCESS:
        return Denied
    transient = status >= _SERVER or status in (_THROTTLED, _REQUEST_TIMEOUT, 409, 412)
    bad_request = 400 <= status < _SERVER and not transient  # noqa: PLR2004 - HTTP's
    return Denied if bad_request else Flaky


def trouble_of(code: str, message: str) -> Trouble:
    """Return what is wrong with a machine whose making failed."""
    return kind_of(code, _SERVER, message).trouble


def code_of(error: HttpResponseError) -> str:
    """Return Azure's code, "" where the answer has none."""
    return str(getattr(error.error, "code", None) or "")


def status_of(error: HttpResponseError) -> int:
    """Return the HTTP status. An operation that failed later has 200: taken as the server's own failure."""
    status = int(error.status_code or 0)
    return status if status >= 400 else _SERVER  # noqa: PLR2004 - HTTP's


def retry_after_s(error: AzureError) -> float | None:
    """Return how long Azure wants to be left alone, bounded; None when it does not say so."""
    if not isinstance(error, HttpResponseError) or error.status_code != _THROTTLED:
        return None
    headers: Any = error.response.headers if error.response is not None else {}
    text = headers.get("Retry-After", "")
    return min(float(text), _WAIT_MAX_S) if str(text).isdecimal() else 10.0


def translated(error: AzureError, offer: OfferKey | None) -> ProviderError:
    """Return the contract's error, with Azure's code in its message."""
    if isinstance(error, HttpResponseError) and not isinstance(error, ClientAuthenticationError):
        code, message = code_of(error), _first_line(getattr(error.error, "message", None) or error.message)
        kind = kind_of(code, status_of(error), message)
        text = f"{code or error.status_code}: {message}"
        return kind(text, _scope(kind, offer, message))
    if isinstance(error, ClientAuthenticationError):
        return Denied(f"Azure does not know who asks (az login, or a managed identity): {_first_line(error.message)}")
    return Flaky(f"no answer from Azure: {_first_line(str(error))}", offer)


def _scope(kind: type[ProviderError], offer: OfferKey | None, message: str) -> OfferKey | None:
    """Return which offers are affected: a quota of cores holds in all zones, the region's for all pools."""
    if kind is not QuotaReached or offer is None:
        return offer
    words = message.lower()
    everyone = "total regional" in words or "lowpriority" in words.replace("-", "").replace(" ", "")
    return OfferKey("" if everyone else offer.pool, offer.provider, offer.region, None, offer.market)


def _first_line(text: object) -> str:
    lines = str(text).strip().splitlines()
    return lines[0][:500] if lines else "no message"
