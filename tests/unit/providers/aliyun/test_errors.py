"""The cloud's codes and the contract's errors."""

import pytest

from rayfleet.contracts import Denied, Flaky, Gone, OutOfStock, ProviderError, QuotaReached
from rayfleet.providers.aliyun.errors import ApiError, contract_error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("OperationDenied.NoStock", OutOfStock),
        ("Zone.NotOnSale", OutOfStock),
        ("InvalidResourceType.NotSupported", OutOfStock),
        ("InstanceType.Offline", OutOfStock),
        ("OperationDenied.SpotPriceLowerThanPublicPrice", OutOfStock),
        ("QuotaExceed.ElasticQuota", QuotaReached),
        ("QuotaExceeded", QuotaReached),
        ("Throttling", Flaky),
        ("Throttling.User", Flaky),
        ("ServiceUnavailable", Flaky),
        ("IdempotentProcessing", Flaky),
        ("IncorrectInstanceStatus.Initializing", Flaky),
        ("SomethingNew", Flaky),
        ("", Flaky),
        ("InvalidAccessKeyId.NotFound", Denied),
        ("InvalidAccessKeyId.Inactive", Denied),
        ("SignatureDoesNotMatch", Denied),
        ("Forbidden.RAM", Denied),
        ("InsufficientBalance", Denied),
        ("InvalidImageId.NotFound", Denied),
        ("OperationDenied", Denied),
        ("UnsupportedParameter", Denied),
        ("InvalidInstanceId.NotFound", Gone),
    ],
)
def test_every_code_has_its_error_and_stands_in_its_message(code: str, kind: type[ProviderError]) -> None:
    error = contract_error(ApiError(code, "as the cloud says"))
    assert type(error) is kind
    assert str(error) == (f"{code}: as the cloud says" if code else "as the cloud says")
