"""What a receiver of OTLP gets, by the standard variables; and what becomes of the loop where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rayfleet import wiring
from rayfleet.model import Policy, Resources, TickReport
from rayfleet.reports.traces.sink import Traces, wanted
from rayfleet.reports.traces.spans import Span
from rayfleet.testing.otlp import OtlpReceiver
from rayfleet.testing.snapshots import pool
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU4 = Resources.of({"CPU": 4})


@pytest.fixture(scope="module")
def reports() -> list[TickReport]:
    """Return what a controller reports while it launches a machine for a task."""
    world = World(Policy(pools=(pool("cpu4", 0.2, CPU=4),)))

    async def story() -> None:
        async with world.controller():
            world.engine.submit(CPU4, run_s=3)
            await world.until(lambda: world.engine.done == 1)

    run_virtual(story())
    return list(world.history.reports)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as started:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", started.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ours")
        yield started


async def written(sink: Traces, reports: list[TickReport]) -> None:
    for report in reports:
        await sink.write(report)
    await sink.close()


async def test_a_receiver_gets_a_scale_up_as_one_trace(receiver: OtlpReceiver, reports: list[TickReport]) -> None:
    await written(Traces("1.2.3"), reports)
    assert {post.path for post in receiver.posts} == {"/v1/traces"}
    assert {post.headers["x-tenant"] for post in receiver.posts} == {"ours"}
    assert receiver.resource()["service.name"] == "rayfleet"
    spans = receiver.spans()
    (machine,) = (name for name in spans if name.startswith("machine "))
    assert spans.keys() == {
        "scale up 1 cpu4", "plan", "request", "provision", "boot", "wait for work", machine,
    }  # fmt: skip
    root = spans["scale up 1 cpu4"]
    assert len({span.trace_id for span in spans.values()}) == 1
    assert root.parent_span_id == b""
    assert {spans[name].parent_span_id for name in ("plan", "request", machine)} == {root.span_id}
    assert {spans[name].parent_span_id for name in ("provision", "boot", "wait for work")} == {spans[machine].span_id}
    assert root.start_time_unix_nano <= spans["boot"].start_time_unix_nano < spans["boot"].end_time_unix_nano
    attributes = {each.key: each.value for each in root.attributes}
    assert attributes["rayfleet.pool"].string_value == "cpu4"
    assert attributes["rayfleet.machines"].int_value == 1
    scope = receiver.posts[0].request.resource_spans[0].scope_spans[0].scope
    assert (scope.name, scope.version) == ("rayfleet", "1.2.3")


async def test_the_service_is_called_as_the_environment_says(
    receiver: OtlpReceiver, reports: list[TickReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "prod-scaler")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=prod")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    await written(Traces("1.2.3"), reports)
    told = receiver.resource()
    assert (told["service.name"], told["deployment.environment"]) == ("prod-scaler", "prod")
    assert receiver.posts[0].headers["content-encoding"] == "gzip"


class Kept:
    """A sender that keeps what it is given. `gone`: it was told to end."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.gone = False

    def send(self, span: Span) -> None:
        self.spans.append(span)

    def end(self) -> None:
        self.gone = True


async def test_spans_are_handed_on_as_they_end_and_the_sender_is_ended(reports: list[TickReport]) -> None:
    sender = Kept()
    sink = Traces("1", lambda _version: sender)
    await sink.write(reports[0])
    assert [span.name for span in sender.spans] == ["plan"]
    await written(sink, reports[1:])
    assert [span.name for span in sender.spans][-1] == "scale up 1 cpu4"
    assert sender.gone


async def test_without_its_packages_it_says_so_once_and_the_loop_goes_on(
    reports: list[TickReport], capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_version: str) -> Any:
        raise ModuleNotFoundError("No module named 'opentelemetry.exporter'")

    await written(Traces("1", missing), reports)
    said = capsys.readouterr().out
    assert said.count("no_traces") == 1
    assert 'pip install "rayfleet[traces]"' in said


@pytest.mark.parametrize(
    ("environment", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, False),
    ],
)
def test_who_wants_them_names_a_receiver(environment: dict[str, str], is_wanted: bool) -> None:
    assert wanted(environment) is is_wanted


def test_a_controller_has_the_sink_where_a_receiver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert wiring.traces() == ()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert [sink.name for sink in wiring.traces()] == ["traces"]
