"""The sink of traces: follows launches, and hands spans to whoever sends them, who never makes the loop wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Final, Protocol

import structlog

from rayfleet.model import TickReport
from rayfleet.reports.traces.spans import ScaleUps, Span

log = structlog.get_logger()

PIP_LINE: Final = 'pip install "rayfleet[traces]"'
CLOSE_PATIENCE_S: Final = 3.0
_WHERE: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Sender(Protocol):
    """Sends spans, sooner or later."""

    def send(self, span: Span) -> None:
        """Take a span; never waits."""
        ...

    def end(self) -> None:
        """Send what there still is; may wait."""
        ...


def wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Say whether somebody is to get traces: a receiver is named, and nothing says otherwise."""
    told = os.environ if environment is None else environment
    if told.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = told.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter in {"otlp", ""} and any(told.get(name) for name in _WHERE)


def otlp(version: str) -> Sender:
    """Return the sender to an OTLP receiver. ImportError: its packages are not installed."""
    from rayfleet.reports.traces.otlp import Otlp  # noqa: PLC0415 - they are an extra

    return Otlp(version)


class Traces:
    """Takes reports, and hands on the spans that have ended."""

    name = "traces"

    def __init__(self, version: str, sender: Callable[[str], Sender] = otlp) -> None:
        """Take rayfleet's version, and who sends, which is made on first use."""
        self._version = version
        self._make = sender
        self._sender: Sender | None = None
        self._scale_ups = ScaleUps()
        self._is_missing = False

    async def write(self, report: TickReport) -> None:
        """Hand on what has ended with a tick."""
        spans = self._scale_ups.take(report)
        if not spans or self._is_missing:
            return
        try:
            self._sender = self._sender or self._make(self._version)
        except ImportError as error:
            self._is_missing = True
            log.warning("no_traces", error=f"a package is missing: {error}", hint=PIP_LINE)
            return
        for span in spans:
            self._sender.send(span)

    async def close(self) -> None:
        """Send what is queued, for a moment at most."""
        if self._sender is None:
            return
        # A thread of its own, which an interpreter that ends does not wait for: the receiver may be away.
        ending = Thread(target=self._sender.end, name="rayfleet-traces-end", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, CLOSE_PATIENCE_S)
