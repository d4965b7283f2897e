"""What each cloud's spot machines are told, and what they make of it: the programs that are sent to them run here."""

import ast
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import FunctionType
from typing import Any, Self

import pytest

from rayfleet.contracts import Notices, ProviderKind
from rayfleet.engines.ray import notice_watch
from rayfleet.engines.ray.notice import command, programs
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.loop.clock import SystemClock
from rayfleet.model import FrozenMap
from rayfleet.providers.aliyun import PROVIDER as ALIYUN
from rayfleet.providers.aws import PROVIDER as AWS
from rayfleet.providers.azure import PROVIDER as AZURE
from rayfleet.providers.gcp import PROVIDER as GCP

SECTIONS: Mapping[str, dict[str, Any]] = {
    "gcp": {"project_id": "p", "region": "us-west1"},
    "azure": {"location": "westus2", "resource_group": "ray"},
    "aliyun": {"region": "cn-hangzhou"},
}


@dataclass
class Metadata:
    """A metadata service: what it has under a path, and the headers without which it says nothing."""

    headers: Mapping[str, str]
    token_path: str = ""
    has: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    broken: int = 0


@contextmanager
def served(service: Metadata) -> Iterator[Metadata]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            wanted = self.path == service.token_path and any("ttl-seconds" in name.lower() for name in self.headers)
            self._say(200 if wanted else 400, "a-token")

        def do_GET(self) -> None:
            service.asked.append(self.path)
            if service.broken:
                service.broken -= 1
                self._say(503, "later")
            elif any(self.headers.get(name) != value for name, value in service.headers.items()):
                self._say(401, "")
            else:
                found = service.has.get(self.path)
                self._say(404 if found is None else 200, found or "")

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


def place_of(kind: ProviderKind, section: Mapping[str, Any] = FrozenMap()) -> Notices:
    assert kind.notices is not None
    found: Notices = kind.notices(kind.settings(**SECTIONS.get(kind.name, {}), **section))
    return found


def program_of(kind: ProviderKind, tmp_path: Path, section: Mapping[str, Any] = FrozenMap()) -> notice_watch.LeftS:
    """Return what the machine's program defines, read from a file as it is there."""
    path = tmp_path / "notice.py"
    path.write_text(programs(place_of(kind, section))["notice.py"])
    found: notice_watch.LeftS = runpy.run_path(str(path))["left_s"]
    return found


def after(seconds: float) -> datetime:
    return datetime.fromtimestamp(SystemClock().now() + seconds, UTC)


AWS_HEADERS = {"X-aws-ec2-metadata-token": "a-token"}
AWS_PATH = "/latest/meta-data/spot/instance-action"
GCP_PATH = "/computeMetadata/v1/instance/preempted"
AZURE_HAS = {
    "/metadata/scheduledevents?api-version=2020-07-01": (
        '{{"Events": [{{"EventType": "Preempt", "Resources": ["vm-1"], "NotBefore": "{rfc}"}}]}}'
    ),
    "/metadata/instance/compute/name?api-version=2021-01-01&format=text": "vm-1",
}
ALIYUN_HEADERS = {"X-aliyun-ecs-metadata-token": "a-token"}
ALIYUN_PATH = "/latest/meta-data/instance/spot/termination-time"


def test_aws_names_the_moment(tmp_path: Path) -> None:
    left_s = program_of(AWS, tmp_path)
    with served(Metadata({"X-aws-ec2-metadata-token": "a-token"}, "/latest/api/token")) as service:
        assert left_s(notice_watch.ask, service.url) is None
        service.has[AWS_PATH] = f'{{"action": "terminate", "time": "{after(120):%FT%TZ}"}}'
        assert left_s(notice_watch.ask, service.url) == pytest.approx(120, abs=10)
        assert set(service.asked) == {AWS_PATH}


REBALANCE_PATH = "/latest/meta-data/events/recommendations/rebalance"


@pytest.mark.parametrize(
    ("section", "left"), [({}, None), ({"rebalance": "ignore"}, None), ({"rebalance": "drain"}, 1800)]
)
def test_aws_rebalance_recommendations_are_read_only_where_the_file_says_so(
    tmp_path: Path, section: dict[str, Any], left: float | None
) -> None:
    left_s = program_of(AWS, tmp_path, section)
    with served(Metadata(AWS_HEADERS, "/latest/api/token")) as service:
        assert left_s(notice_watch.ask, service.url) is None
        service.has[REBALANCE_PATH] = f'{{"noticeTime": "{after(0):%FT%TZ}"}}'
        assert left_s(notice_watch.ask, service.url) == left
        service.has[AWS_PATH] = f'{{"action": "terminate", "time": "{after(120):%FT%TZ}"}}'
        assert left_s(notice_watch.ask, service.url) == pytest.approx(120, abs=10), "which is sooner"


def test_after_a_recommendation_only_a_sooner_end_is_news() -> None:
    pauses: list[float] = []

    def left_s(ask: object, url: str) -> float:
        return 1800.0 if len(pauses) < 3 else 120.0

    known = SystemClock().now() + 1800
    assert notice_watch.waited(left_s, "", pauses.append, known) == 120
    assert len(pauses) == 3


def test_google_gives_half_a_minute(tmp_path: Path) -> None:
    left_s = program_of(GCP, tmp_path)
    path = "/computeMetadata/v1/instance/preempted"
    with served(Metadata({"Metadata-Flavor": "Google"})) as service:
        service.has[path] = "FALSE"
        assert left_s(notice_watch.ask, service.url) is None
        service.has[path] = "TRUE"
        assert left_s(notice_watch.ask, service.url) == 30


def test_azure_tells_of_other_machines_too(tmp_path: Path) -> None:
    left_s = program_of(AZURE, tmp_path)
    events, name = "/metadata/scheduledevents?api-version=2020-07-01", "/metadata/instance/compute/name"
    with served(Metadata({"Metadata": "true"})) as service:
        service.has[f"{name}?api-version=2021-01-01&format=text"] = "vm-1"

        def told(kind: str, machine: str, at: str) -> float | None:
            event = f'{{"EventType": "{kind}", "Resources": ["{machine}"], "NotBefore": "{at}"}}'
            service.has[events] = f'{{"DocumentIncarnation": 1, "Events": [{event}]}}'
            return left_s(notice_watch.ask, service.url)

        soon = format_datetime(after(40), usegmt=True)
        service.has[events] = '{"DocumentIncarnation": 0, "Events": []}'
        assert left_s(notice_watch.ask, service.url) is None
        assert told("Reboot", "vm-1", soon) is None
        assert told("Preempt", "vm-2", soon) is None
        assert told("Preempt", "vm-1", soon) == pytest.approx(40, abs=10)
        assert told("Preempt", "vm-1", "") == 30


def test_alibaba_names_the_moment(tmp_path: Path) -> None:
    left_s = program_of(ALIYUN, tmp_path)
    with served(Metadata({"X-aliyun-ecs-metadata-token": "a-token"}, "/latest/api/token")) as service:
        assert left_s(notice_watch.ask, service.url) is None
        service.has["/latest/meta-data/instance/spot/termination-time"] = f"{after(300):%FT%TZ}\n"
        assert left_s(notice_watch.ask, service.url) == pytest.approx(300, abs=10)


@pytest.mark.parametrize(
    ("kind", "variable", "headers", "has"),
    [
        (AWS, "AWS_EC2_METADATA_SERVICE_ENDPOINT", AWS_HEADERS, {AWS_PATH: '{{"time": "{iso}"}}'}),
        (GCP, "GCE_METADATA_HOST", {"Metadata-Flavor": "Google"}, {GCP_PATH: "TRUE"}),
        (AZURE, "AZURE_METADATA_SERVICE_ENDPOINT", {"Metadata": "true"}, AZURE_HAS),
        (ALIYUN, "ALIYUN_METADATA_SERVICE_ENDPOINT", ALIYUN_HEADERS, {ALIYUN_PATH: "{iso}"}),
    ],
    ids=["aws", "gcp", "azure", "aliyun"],
)
def test_another_address_may_be_set_on_the_machine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: ProviderKind,
    variable: str,
    headers: Mapping[str, str],
    has: Mapping[str, str],
) -> None:
    left_s = program_of(kind, tmp_path)
    with served(Metadata(headers, "/latest/api/token")) as service:
        monkeypatch.setenv(variable, service.url.removeprefix("http://") if kind is GCP else service.url)
        soon = {"iso": f"{after(60):%FT%TZ}", "rfc": format_datetime(after(60), usegmt=True)}
        service.has |= {path: text.format(**soon) for path, text in has.items()}
        assert left_s(notice_watch.ask, "http://127.0.0.1:9") == pytest.approx(30 if kind is GCP else 60, abs=10)
    assert not variable.startswith("RAYFLEET_")  # those are not handed on to machines


def test_it_waits_and_says_once_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_s = program_of(GCP, tmp_path)
    pauses: list[float] = []
    with served(Metadata({"Metadata-Flavor": "Google"}, broken=3)) as service:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 5:
                service.has["/computeMetadata/v1/instance/preempted"] = "TRUE"

        assert notice_watch.waited(left_s, service.url, pause) == 30
    assert pauses == [notice_watch.EVERY_S] * 5
    assert capsys.readouterr().out.count("503") == 1


@pytest.mark.parametrize("nonsense", ["{", "{}", "[]", '{"time": null}', '{"time": "soon"}'])
def test_a_service_that_answers_nonsense_is_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nonsense: str
) -> None:
    left_s = program_of(AWS, tmp_path)
    pauses: list[float] = []
    with served(Metadata(AWS_HEADERS, "/latest/api/token")) as service:
        service.has[AWS_PATH] = nonsense

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                service.has[AWS_PATH] = f'{{"action": "stop", "time": "{after(90):%FT%TZ}"}}'

        assert notice_watch.waited(left_s, service.url, pause) == pytest.approx(90, abs=10)
    assert len(capsys.readouterr().out.splitlines()) == 1


class OldDatetime(datetime):
    """As in Python before 3.11, which takes no Z for the zone."""

    @classmethod
    def fromisoformat(cls, date_string: str) -> Self:
        if date_string.endswith("Z"):
            raise ValueError(date_string)
        return super().fromisoformat(date_string)


@pytest.mark.parametrize(
    ("kind", "headers", "path", "text"),
    [
        (AWS, AWS_HEADERS, AWS_PATH, '{{"action": "stop", "time": "{at:%FT%TZ}"}}'),
        (ALIYUN, ALIYUN_HEADERS, ALIYUN_PATH, "{at:%FT%TZ}"),
    ],
    ids=["aws", "aliyun"],
)
def test_moments_are_read_by_older_pythons(
    tmp_path: Path, kind: ProviderKind, headers: Mapping[str, str], path: str, text: str
) -> None:
    left_s = program_of(kind, tmp_path)
    assert isinstance(left_s, FunctionType)
    left_s.__globals__["datetime"] = OldDatetime
    with served(Metadata(headers, "/latest/api/token")) as service:
        service.has[path] = text.format(at=after(60))
        assert left_s(notice_watch.ask, service.url) == pytest.approx(60, abs=10)


def test_what_goes_to_the_machine_is_for_any_python_that_ray_is_in() -> None:
    """Of 3.9's syntax, and `X | None` only in annotations, which are then not evaluated."""
    for kind in (AWS, GCP, AZURE, ALIYUN):
        for text in programs(place_of(kind)).values():
            tree = ast.parse(text, feature_version=(3, 9))
            assert isinstance(tree.body[0], ast.ImportFrom)
            assert tree.body[0].module == "__future__"
            values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Assign))
            within = [inner for value in values for inner in ast.walk(value)]
            assert not [ast.unparse(node) for node in within if isinstance(node, ast.BitOr)]


def test_what_goes_to_the_machine_needs_nothing_of_ours() -> None:
    sent = [text for kind in (AWS, GCP, AZURE, ALIYUN) for text in programs(place_of(kind)).values()]
    assert len(sent) == 8
    assert not [text for text in sent if "rayfleet import" in text or "import rayfleet" in text or '"""' in text]


def test_it_runs_beside_the_node_from_the_shell_that_started_that(tmp_path: Path) -> None:
    """The very command, with a Ray that notes what it is asked: the node of this machine is drained, and no other."""
    settings = RaySettings(cluster="demo", folder=str(tmp_path), host="10.0.0.1", ports=Ports(6380, 1, 2))
    site, log = tmp_path / "site", tmp_path / ".rayfleet/demo/notice.i-1.log"
    (site / "ray/core/generated").mkdir(parents=True)
    for path, text in PRETENDED.items():
        (site / "ray" / path).write_text(text)
    place = Notices(f"def left_s(ask, url):\n    return 60.0 if url == '{URL}' else None\n", URL)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    own = {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(site)}
    machine = {"RAYFLEET_MACHINE_ID": "i-1", "RAY_CLOUD_INSTANCE_ID": "i-1"}
    script = f"{command(settings, place)}\nwait"
    subprocess.run(["/bin/bash", "-c", script], env={**own, **machine}, check=True, timeout=100)
    assert log.read_text().splitlines()[-1].endswith("drained")
    address, node, reason, why = (tmp_path / "asked").read_text().split("|")
    assert (address, node, reason) == ("10.0.0.1:6380", "aa", "7")
    assert "its provider takes i-1 back in 60 s" in why


URL = "http://169.254.169.254"
PRETENDED = {
    "__init__.py": "",
    "core/__init__.py": "",
    "core/generated/__init__.py": "",
    "core/generated/autoscaler_pb2.py": "class DrainNodeReason:\n    Value = {'DRAIN_NODE_REASON_PREEMPTION': 7}.get\n",
    "core/generated/gcs_pb2.py": "class GcsNodeInfo:\n    class GcsNodeState:\n        Value = {'ALIVE': 0}.get\n",
    "_raylet.py": """
import os
class Node:
    def __init__(self, *values): self.node_id, self.instance_id, self.state = values
class GcsClient:
    def __init__(self, address): self.address = address
    def get_all_node_info(self, timeout):
        nodes = Node(b"\\xaa", "i-1", 0), Node(b"\\xbb", "i-2", 0), Node(b"\\xcc", "i-1", 1)
        return dict(enumerate(nodes))
    def drain_node(self, *asked):
        node, reason, why, _ends_ms = asked
        with open(os.environ["HOME"] + "/asked", "w") as file:
            file.write("|".join((self.address, node, str(reason), why)))
        return True, ""
""",
}
