"""An emulated account for each test."""

from collections.abc import Iterator

import pytest

from rayfleet.testing.clouds.aws import AwsEmulator, aws_emulator


@pytest.fixture
def emulator() -> Iterator[AwsEmulator]:
    with aws_emulator() as running:
        yield running
