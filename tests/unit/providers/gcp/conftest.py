"""An emulated project for each test."""

from collections.abc import Iterator

import pytest

from rayfleet.testing.clouds.gcp import GcpEmulator


@pytest.fixture
def cloud() -> Iterator[GcpEmulator]:
    """Give the emulator; it fails when it has said what Google would not."""
    with GcpEmulator() as emulator:
        yield emulator
