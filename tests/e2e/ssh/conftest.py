"""Two real hosts for all tests of a file."""

from collections.abc import Iterator

import pytest

from rayfleet.testing.hosts import Hosts, needs


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return two running hosts. Where they cannot be, this fails: `make test-e2e` installs what they need."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    with Hosts(2, tmp_path_factory.mktemp("hosts")) as running:
        yield running
