"""EC2's error codes as the contract's five errors. Pure, but for reading botocore's exceptions.

What is not known here, and is the request's fault (`Invalid...`, `Missing...`), is Denied; anything else is Flaky.
"""

from __future__ import annotations

from typing import Any, Final

from rayfleet.contracts import Denied, Flaky, Gone, OutOfStock, ProviderError, QuotaReached
from rayfleet.model import OfferKey, Trouble

_NO_STOCK: Final = frozenset({
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientCapacityOnHost",
    "ReservationCapacityExceeded",
    "VolumeTypeNotAvailableInZone",
    "InsufficientFreeAddressesInSubnet",
    "UnfulfillableCapacity",
    "Unsupported",
    "SpotMaxPriceTooLow",
    "MaxSpotPriceTooLow",
})  # fmt: skip
"""Another zone, another type or on-demand may help. `Unsupported`: the zone does not have the type at all."""

_ONE_FAMILY: Final = "VcpuLimitExceeded"
"""Limits on CPUs are per market and family of types, so that another pool may well have room."""
_WHOLE_REGION: Final = frozenset({"InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "SpotInstanceCountExceeded"})

_THROTTLED: Final = frozenset({
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "BandwidthLimitExceeded",
    "EC2ThrottledException", "RequestThrottled", "LimitExceededException",
    "InternalError", "InternalFailure", "ServerInternal", "ServiceUnavailable", "Unavailable",
    "ConcurrentTagAccess", "IncorrectInstanceState", "IncorrectState", "ConcurrentModification",
})  # fmt: skip

_REFUSED: Final = frozenset({
    "AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "Blocked", "OptInRequired",
    "PendingVerification", "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId",
    "SignatureDoesNotMatch", "UnrecognizedClientException", "UnsupportedOperation", "UnknownParameter",
    "ValidationError", "OperationNotPermitted", "NotEmulated", "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
})  # fmt: skip

_NOT_ALLOWED: Final = frozenset({
    "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure", "UnsupportedOperation",
    "InvalidAction", "OptInRequired", "NotEmulated",
})  # fmt: skip

_LISTED: Final[tuple[tuple[frozenset[str], type[ProviderError]], ...]] = (
    (_NO_STOCK, OutOfStock),
    (_THROTTLED, Flaky),
    (_REFUSED, Denied),
    (_WHOLE_REGION | {_ONE_FAMILY}, QuotaReached),
    (frozenset({"InvalidInstanceID.NotFound"}), Gone),
)
_OURS_TO_BLAME: Final = ("Invalid", "Missing", "Malformed", "NoSuch")


def code_of(error: BaseException) -> str:
    """Return the cloud's code of an exception of botocore's; its type's name where it has none."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code") or type(error).__name__)


def failure(error: BaseException, offer: OfferKey | None = None) -> ProviderError:
    """Return what an exception of botocore's means to the caller, in words that name the code."""
    code = code_of(error)
    if not hasattr(error, "response"):
        return _without_answer(error, offer)
    return said(code, error.response.get("Error", {}).get("Message", ""), offer)


def said(code: str, message: str, offer: OfferKey | None) -> ProviderError:
    """Return what a code of the cloud's means to the caller, in words that name it."""
    kind = kind_of(code)
    return kind(f"{code}: {message}".rstrip(": "), scope=_scope(code, offer) if kind is QuotaReached else offer)


def without_permission(code: str) -> bool:
    """Say whether a code refuses the action itself, whatever was asked with it."""
    return code.partition(".")[0] in _NOT_ALLOWED


def kind_of(code: str) -> type[ProviderError]:
    """Return which of the contract's errors a code is."""
    listed = next((error for codes, error in _LISTED if code in codes), None)
    if listed is not None:
        return listed
    if code.endswith("LimitExceeded"):
        return QuotaReached
    return Denied if code.startswith(_OURS_TO_BLAME) else Flaky


def is_about_profile(error: ProviderError) -> bool:
    """Say whether an instance profile is not known: to nobody, or not everywhere yet."""
    code, _, text = str(error).partition(":")
    return code == "InvalidParameterValue" and "iaminstanceprofile" in text.lower().replace(" ", "")


def trouble_of(code: str) -> Trouble:
    """Return what a StateReason of an instance that could not be started means."""
    return kind_of(code.partition(".")[2]).trouble


def _scope(code: str, offer: OfferKey | None) -> OfferKey | None:
    if offer is None:
        return None
    pool = "" if code in _WHOLE_REGION else offer.pool
    return OfferKey(pool, offer.provider, offer.region, None, offer.market)


def _without_answer(error: BaseException, offer: OfferKey | None) -> ProviderError:
    name, text = type(error).__name__, f"{type(error).__name__}: {error}"
    if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"):
        advice = "run `aws configure`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set provider.aws_credentials"
        return Denied(f"{text}; {advice}", scope=offer)
    if name in (
        "ParamValidationError",
        "ProfileNotFound",
        "NoRegionError",
        "InvalidRegionError",
        "UnknownEndpointError",
    ):
        return Denied(text, scope=offer)
    return Flaky(text, scope=offer)
