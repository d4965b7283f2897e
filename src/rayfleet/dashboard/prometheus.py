"""Prometheus' HTTP API, and the page of an exporter; bounded in time and size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from rayfleet.dashboard.answers import NoFigures
from rayfleet.dashboard.readings.metrics import Asked, Drawn, drawn, selector

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 32 * 2**20
CLUSTER_LABEL: Final = "RayClusterName"
"""What the controller's series have, and Ray's own where the scrape configuration is the controller's."""
_CHUNK_BYTES: Final = 2**16
_FIRST_ERROR: Final = 400
_SHOWN: Final = 300

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Offered:
    """Names of series. `labels`: by which those of the cluster are told; none: Prometheus knows no cluster's name."""

    names: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


async def offered(base: str, cluster: str, since: float, until: float) -> Offered:
    """Return which series there were; those of every cluster where none says that it is of this one.

    Raises:
        NoFigures: Prometheus does not tell.
    """
    span = [("start", f"{since:.0f}"), ("end", f"{until:.0f}")]
    for labels in (((CLUSTER_LABEL, cluster),), ()):
        matching = [("match[]", selector("", dict(labels)))] if labels else []
        found = await _asked(base, "label/__name__/values", [*span, *matching])
        if found:
            return Offered(tuple(str(name) for name in found), labels)
    return Offered((), ())


async def curves(base: str, asked: Asked) -> Drawn:
    """Return how a series was over time.

    Raises:
        NoFigures: Prometheus does not tell.
    """
    span = [("start", f"{asked.since}"), ("end", f"{asked.until}"), ("step", f"{asked.step_s}")]
    found = await asyncio.gather(
        *(_asked(base, "query_range", [("query", query), *span]) for query in asked.queries.values())
    )
    try:
        answers = {name: each["result"] for name, each in zip(asked.queries, found, strict=True)}
        return drawn(asked, answers)
    except (KeyError, TypeError, ValueError) as error:
        raise NoFigures(f"{base} answers what no Prometheus does", _hint(base)) from error


async def page_of(url: str) -> str:
    """Return what an exporter offers.

    Raises:
        NoFigures: it does not answer.
    """
    return (await _read(url, ())).decode(errors="replace")


async def _asked(base: str, path: str, query: Pairs) -> Any:
    text = await _read(f"{base}/api/v1/{path}", query)
    try:
        return json.loads(text)["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise NoFigures(f"{base} answers what no Prometheus does", _hint(base)) from error


async def _read(url: str, query: Pairs) -> bytes:
    found = bytearray()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.get(url, params=list(query)) as answer,
        ):
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                found += chunk
                if len(found) > MOST_BYTES:
                    raise NoFigures(f"{url} answers with more than {MOST_BYTES} bytes", "choose a shorter span")
            if answer.status >= _FIRST_ERROR:
                raise NoFigures(f"{url} says: {_wrong(bytes(found), answer.status)}", _hint(url))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = str(error) or f"nothing within {TIMEOUT_S:.0f} s"
        raise NoFigures(f"{url} does not answer: {why}", _hint(url)) from error
    return bytes(found)


def _wrong(text: bytes, status: int) -> str:
    """Return what Prometheus means by an error."""
    try:
        return str(json.loads(text)["error"])[:_SHOWN]
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {status}"


def _hint(url: str) -> str:
    return f"look whether {url} is the right address, and whether it runs"
