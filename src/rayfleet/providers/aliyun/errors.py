"""The cloud's error codes -> the contract's five, with the code in the message."""

from __future__ import annotations

import re
from typing import Final

from rayfleet.contracts import Denied, Flaky, Gone, OutOfStock, ProviderError, QuotaReached
from rayfleet.model import OfferKey

_OUT_OF_STOCK: Final = (
    "OperationDenied.NoStock",
    "OperationDenied.SpotPriceLowerThanPublicPrice",
    "OperationDenied.ZoneNotAllowed",
    "Zone.NotOnSale",
    "Zone.NotOpen",
    "InvalidResourceType.NotSupported",
    "InstanceType.Offline",
    "InvalidInstanceType.ZoneNotSupported",
    "InvalidSpotPriceLimit.LowerThanPublicPrice",
    "InvalidVSwitchId.IpNotEnough",
    "ResourceNotAvailable",
)
_QUOTA: Final = ("QuotaExceed", "QuotaExceeded", "EniPerInstanceLimitExceeded", "InstanceQuotaExceed")
_GONE: Final = ("InvalidInstanceId.NotFound", "InvalidResourceId.NotFound")
_FLAKY: Final = (
    "Throttling",
    "ServiceUnavailable",
    "InternalError",
    "IdempotentProcessing",
    "IncorrectInstanceStatus",
    "IncorrectVpcStatus",
    "IncorrectVSwitchStatus",
    "InvalidCidrBlock.Overlapped",
    "InvalidVPCStatus",
    "OperationConflict",
    "TaskConflict",
    "LastTokenProcessing",
    "SignatureNonceUsed",
)
_DENIED: Final = (
    "Forb", "NoPermission", "Unauthorized", "UnauthorizedOperation",
    "SignatureDoesNotMatch", "IncompleteSignature", "InsufficientBalance", "Account", "RealNameAuthenticationError",
    "Invalid", "Missing", "Unsupported", "OperationDenied", "IdempotentParameterMismatch", "ImageNot", "KeyPair",
)  # fmt: skip
"""Beginnings; the cloud spells Forbidden in three ways. What nobody knows is Flaky: asking again under the same token
cannot do harm."""

_BEGINNINGS: Final[tuple[tuple[type[ProviderError], tuple[str, ...]], ...]] = (
    (OutOfStock, _OUT_OF_STOCK),
    (Gone, _GONE),
    (QuotaReached, _QUOTA),
    (Flaky, _FLAKY),
    (Denied, _DENIED),
)
MISMATCH: Final = "IdempotentParameterMismatch"
INITIALIZING: Final = "IncorrectInstanceStatus"


class ApiError(Exception):
    """What the cloud, or the way there, answered instead. `code` "" when there was no answer."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code and its words."""
        super().__init__(f"{code}: {message}" if code else message)
        self.code = code


def api_error(error: Exception, endpoint: str) -> ApiError:
    """Return what is to be known of the client library's error: never the request, which may hold secrets."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and code:
        words = str(getattr(error, "message", "") or "")
        return ApiError(code, re.sub(r"^code: \d+, ", "", words))
    cause = re.search(r"Caused by (\w+)", str(error))
    return ApiError("", f"no answer from {endpoint} ({cause.group(1) if cause else type(error).__name__})")


def kind_of(code: str) -> type[ProviderError]:
    """Return which of the contract's errors a code stands for."""
    for kind, beginnings in _BEGINNINGS:
        if any(code == word or code.startswith(f"{word}.") for word in beginnings):
            return kind
    return Denied if code.startswith(_DENIED) else Flaky


def contract_error(error: ApiError, offer: OfferKey | None = None) -> ProviderError:
    """Return the contract's error. A quota holds in the whole region, so it concerns the pool in all its zones."""
    kind = kind_of(error.code)
    scope = offer
    if offer is not None and kind is QuotaReached:
        scope = OfferKey(offer.pool, offer.provider, offer.region, None, offer.market)
    return kind(str(error), scope=scope)
