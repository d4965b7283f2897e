"""The server of /metrics: its port, what a taken one says, and its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Gauge

from rayfleet.reports.metrics.endpoint import CannotListen, Endpoint, serve

HERE = "127.0.0.1"


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    return registry


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((HERE, 0))
        other.listen()
        yield other.getsockname()[1]


def read(endpoint: Endpoint) -> str:
    with urlopen(f"http://{endpoint.address}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


async def test_it_answers_until_it_is_closed(registry: CollectorRegistry) -> None:
    endpoint = serve(registry, HERE, 0)
    assert "answer 42.0" in await asyncio.to_thread(read, endpoint)
    await endpoint.close()
    with pytest.raises(URLError):
        await asyncio.to_thread(read, endpoint)


async def test_a_port_that_was_asked_for_and_is_taken_is_told(registry: CollectorRegistry, taken: int) -> None:
    with pytest.raises(CannotListen, match=f"metrics cannot be offered at {HERE}:{taken}: somebody else listens there"):
        serve(registry, HERE, taken)


async def test_an_address_of_another_machine_is_told(registry: CollectorRegistry) -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0: "):
        serve(registry, "192.0.2.1", 0)


async def test_without_a_wish_two_controllers_find_a_port_each(registry: CollectorRegistry) -> None:
    """The first that starts has the port that Ray's autoscaler has, if nobody has it; others take any that is free."""
    first, second = serve(registry, HERE, None), serve(registry, HERE, None)
    try:
        assert first.port != second.port
        assert "answer 42.0" in await asyncio.to_thread(read, second)
    finally:
        await asyncio.gather(first.close(), second.close())


async def test_who_connects_and_says_nothing_is_let_go_of(
    registry: CollectorRegistry, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each connection is a thread and an open file of the controller, and anybody near may make some."""
    endpoint = serve(registry, HERE, 0, patience_s=0.05)

    def silent() -> bytes:
        with socket.create_connection((HERE, endpoint.port), timeout=60) as caller:
            return caller.recv(1)

    def answered() -> str:
        while True:
            with suppress(OSError):  # a busy machine may take longer to ask than it is waited for
                return read(endpoint)

    assert await asyncio.to_thread(silent) == b""
    assert "answer 42.0" in await asyncio.to_thread(answered)
    await endpoint.close()
    assert capfd.readouterr() == ("", "")


async def test_an_address_of_the_sixth_version(registry: CollectorRegistry) -> None:
    endpoint = serve(registry, "::1", 0)
    assert endpoint.address == f"[::1]:{endpoint.port}"
    assert "answer 42.0" in await asyncio.to_thread(read, endpoint)
    await endpoint.close()
