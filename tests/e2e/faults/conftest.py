"""Drivers end with their test."""

from collections.abc import Iterator

import pytest
from tests.e2e.faults.site import Site


@pytest.fixture
def clean(site: Site) -> Iterator[Site]:
    """Yield the module's cluster; drivers that the test has started end with it."""
    yield site
    site.end_drivers()
