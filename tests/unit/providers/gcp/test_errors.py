"""Google's errors in the contract's words, with Google's code in the message."""

import pytest

from rayfleet.contracts import Denied, Flaky, Gone, OutOfStock, ProviderError, QuotaReached
from rayfleet.model import Market, OfferKey
from rayfleet.providers.gcp.errors import Trouble, error, worst

OFFER = OfferKey("gpu", "gcp", "us-west1", "us-west1-a", Market.SPOT)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (0, "ZONE_RESOURCE_POOL_EXHAUSTED", OutOfStock),
        (0, "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", OutOfStock),
        (503, "ZONE_RESOURCE_POOL_EXHAUSTED", OutOfStock),
        (0, "insufficientCapacity", OutOfStock),
        (0, "UNSUPPORTED_OPERATION", OutOfStock),
        (0, "QUOTA_EXCEEDED", QuotaReached),
        (403, "quotaExceeded", QuotaReached),
        (403, "rateLimitExceeded", Flaky),
        (403, "userRateLimitExceeded", Flaky),
        (429, "", Flaky),
        (403, "forbidden", Denied),
        (401, "authError", Denied),
        (400, "invalid", Denied),
        (404, "notFound", Denied),
        (0, "RESOURCE_NOT_FOUND", Denied),
        (0, "INVALID_FIELD_VALUE", Denied),
        (0, "RESOURCE_NOT_READY", Flaky),
        (0, "INTERNAL_ERROR", Flaky),
        (412, "conditionNotMet", Flaky),
        (409, "alreadyExists", Flaky),
        (500, "backendError", Flaky),
        (503, "", Flaky),
        (0, "VM_MIN_COUNT_NOT_REACHED", OutOfStock),
        (0, "IP_SPACE_EXHAUSTED_WITH_DETAILS", OutOfStock),
        (403, "resourceOperationRateExceeded", Flaky),
        (403, "concurrentOperationsQuotaExceeded", Flaky),
        (0, "SERVICE_UNAVAILABLE", Flaky),
        (0, "DEADLINE_EXCEEDED", Flaky),
    ],
)
def test_each_code_has_its_word(status: int, code: str, kind: type[ProviderError]) -> None:
    told = error(Trouble(status, code, "what Google says"), OFFER)
    assert type(told) is kind
    assert (code or str(status)) in str(told)
    assert "what Google says" in str(told)


def test_what_is_not_there_is_gone_when_no_offer_was_asked_for() -> None:
    assert type(error(Trouble(404, "notFound", ""), None)) is Gone


def test_a_pool_that_is_exhausted_is_also_known_by_googles_sentence() -> None:
    text = "The zone 'x' does not have enough resources available to fulfill the request."
    assert type(error(Trouble(0, "SOMETHING_NEW", text), OFFER)) is OutOfStock


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        ("Quota 'CPUS' exceeded. Limit: 24.0 in region us-west1.", OfferKey("", "gcp", "us-west1")),
        ("Quota 'PREEMPTIBLE_CPUS' exceeded.", OfferKey("", "gcp", "us-west1", market=Market.SPOT)),
        ("Quota 'NVIDIA_T4_GPUS' exceeded.", OfferKey("gpu", "gcp", "us-west1")),
        ("Quota 'PREEMPTIBLE_NVIDIA_T4_GPUS' exceeded.", OfferKey("gpu", "gcp", "us-west1", market=Market.SPOT)),
        ("something else", OfferKey("", "gcp", "us-west1")),
    ],
)
def test_a_quota_says_which_offers_it_is_about(message: str, scope: OfferKey) -> None:
    told = error(Trouble(403, "quotaExceeded", message), OFFER)
    assert told.scope == scope
    assert scope.covers(OFFER)


def test_of_several_the_one_that_needs_the_user_is_told() -> None:
    stock, denied, flaky = Trouble(0, "STOCKOUT", ""), Trouble(400, "invalid", ""), Trouble(500, "", "")
    assert worst((flaky, stock, denied)) is denied
    assert worst((flaky, stock)) is stock


@pytest.mark.parametrize(
    "reason", ["ZONE_RESOURCE_POOL_EXHAUSTED", "QUOTA_EXCEEDED", "INTERNAL_ERROR", "INVALID_USAGE"]
)
def test_how_a_bulk_launch_is_summed_up_is_not_its_reason(reason: str) -> None:
    """Google puts both into one operation, and pools are only stopped for reasons that need the user."""
    summary, cause = Trouble(0, "VM_MIN_COUNT_NOT_REACHED", ""), Trouble(0, reason, "")
    assert worst((summary, cause)) is cause
    assert worst((cause, summary)) is cause
    assert worst((summary,)) is summary
