"""Spans to an OTLP receiver over HTTP. Needs the packages of `rayfleet[traces]`; imported where somebody wants traces.

Spans are queued (OTEL_BSP_MAX_QUEUE_SIZE, 2048 unless set; what does not fit is dropped) and sent by a thread of the
SDK's, so a receiver that is slow or away costs the loop nothing.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from rayfleet.reports.traces.spans import Span

SERVICE: Final = "rayfleet"
"""The service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another one."""
_NS: Final = 10**9


class Otlp:
    """The queue, and the thread that empties it; both as the OTEL_ variables say."""

    def __init__(self, version: str) -> None:
        """Start them. `version`: rayfleet's."""
        self._queue = BatchSpanProcessor(OTLPSpanExporter())
        self._scope = InstrumentationScope(SERVICE, version)
        told = Resource.create()
        unknown = str(told.attributes[SERVICE_NAME]).startswith("unknown_service")
        self._resource = told.merge(Resource({SERVICE_NAME: SERVICE})) if unknown else told

    def send(self, span: Span) -> None:
        """Queue a span."""
        self._queue.on_end(self._readable(span))

    def end(self) -> None:
        """Send what is queued; waits for the receiver."""
        self._queue.shutdown()  # type: ignore[no-untyped-call]  # the SDK has no types for this one

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context=_context(span.trace, span.id),
            parent=_context(span.trace, span.parent) if span.parent is not None else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
            start_time=round(span.start * _NS),
            end_time=round(span.end * _NS),
            instrumentation_scope=self._scope,
        )


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
