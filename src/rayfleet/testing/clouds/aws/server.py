"""The emulator's door: HTTP on a loopback port, the log, and faults."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qsl

from moto.ec2.models import ec2_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client, run_wsgi_app

from rayfleet.testing.clouds.aws import xml
from rayfleet.testing.clouds.aws.actions import Actions
from rayfleet.testing.clouds.aws.instances import Account, AwsError, Instance
from rayfleet.testing.clouds.aws.prices import Prices
from rayfleet.testing.clouds.aws.surroundings import ACCOUNT, Surroundings

REGION: Final = "us-west-2"
Answer = tuple[int, str, bytes]
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
_CACHED: Final = "DescribeInstanceTypes"
"""moto takes seconds over this one, and its answer is always the same."""
_OF_PRICES: Final = ("DescribeSpotPriceHistory", "GetProducts")
_KEPT: Final[dict[bytes, Answer]] = {}
StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(slots=True)
class Fault:
    """The next `times` calls of `action` whose parameters include `parameters` end in `code` instead.

    `delay_s`: only after so long; with code "" they are carried out then. `after`: they are carried out, and the
    answer is lost.
    """

    action: str
    code: str = ""
    status: int = 400
    times: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    message: str = "as told"
    delay_s: float = 0.0
    after: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made, as the log keeps it. `code` is that of its error, "" when it went well."""

    service: str
    action: str
    parameters: dict[str, Any]
    status: int
    code: str = ""


@dataclass(slots=True)
class AwsEmulator:
    """A running emulator."""

    account: Account
    prices: Prices = field(default_factory=Prices)
    port: int = 0
    host: str = "127.0.0.1"
    region: str = REGION
    log: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def endpoint_url(self) -> str:
        """Return where clients find it, in all services."""
        return f"http://{self.host}:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        """Return keys as `provider.aws_credentials` has them; they open nothing."""
        return {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}

    @property
    def environment(self) -> dict[str, str]:
        """Return variables by which programs with boto3 come here and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def calls(self, *actions: str) -> list[Call]:
        """Return the calls of these actions so far, all without any."""
        return [call for call in self.log if not actions or call.action in actions]

    @property
    def launch_templates(self) -> list[str]:
        """Return the names of all launch templates."""
        templates = ec2_backends[ACCOUNT][self.region].launch_templates.values()
        return sorted(str(each.name) for each in templates)

    def fault(self, fault: Fault) -> None:
        """Have something go wrong."""
        self.faults.append(fault)

    def interrupt(self, instance: Instance, changed_at: str) -> None:
        """Announce that a spot instance will be taken away."""
        instance.spot_status, instance.spot_changed_at = "marked-for-termination", changed_at


@contextmanager
def aws_emulator(
    region: str = REGION, *, host: str = "127.0.0.1", managed_policies: bool = False
) -> Iterator[AwsEmulator]:
    """Run an emulator on a free port of this machine's. moto's state is the process's: one at a time.

    `host`: which of its addresses.
    `managed_policies`: those of Amazon's exist, which takes some seconds more; Ray's launcher attaches two of them.
    """
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = str(managed_policies).lower()
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # half a second; any well-formed image exists here
    moto = DomainDispatcherApplication(create_backend_app)
    Client(moto).post("/moto-api/reset", base_url="http://127.0.0.1")
    emulator = AwsEmulator(Account(), host=host, region=region)
    application = _Application(emulator, moto, Actions(emulator.account, Surroundings(region)))
    server = make_server(host, 0, application, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    emulator.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield emulator
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(WSGIRequestHandler):  # type: ignore[misc]  # werkzeug is not followed, see pyproject.toml
    """Does not print every request, and keeps connections open as the cloud does."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One HTTP request, read."""

    service: str
    action: str
    parameters: dict[str, Any]
    form: dict[str, str]
    at: str
    body: bytes


class _Application:
    """The WSGI application."""

    def __init__(self, emulator: AwsEmulator, moto: Any, actions: Actions) -> None:
        self._emulator = emulator
        self._moto = moto
        self._actions = actions
        self._lock = threading.Lock()
        self._moto_lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ.get("PATH_INFO", "/")
        status, kind, answer = self._control(path, body) if path.startswith("/_") else self._aws(environ, body)
        headers = [("Content-Type", kind), ("Content-Length", str(len(answer)))]
        start_response(f"{status} Emulated", headers)
        return [answer]

    def _control(self, path: str, body: bytes) -> Answer:
        """Answer what the tests of other processes ask of the emulator itself."""
        told = json.loads(body) if body else {}
        if path == "/_log":
            return _json([_as_json(call) for call in self._emulator.log])
        if path == "/_fault":
            self._emulator.fault(Fault(**told))
            return _json({})
        if path == "/_instance":
            with self._lock:
                instance = self._emulator.account.named([told["id"]])[0]
                self._emulator.account.move(instance, told["state"])
                instance.reason = (told.get("code", ""), told.get("message", ""))
            return _json({})
        return 404, "text/plain", b"no such control"

    def _aws(self, environ: dict[str, Any], body: bytes) -> Answer:
        request = _read(environ, body)
        fault = self._next_fault(request)
        if fault is not None and fault.delay_s:
            threading.Event().wait(fault.delay_s)
        answer: Answer | None = None
        if fault is None or fault.after or not fault.code:
            answer = self._answered(environ, request)
        if fault is not None and fault.code:
            answer = _failed(request.service, AwsError(fault.code, fault.message, fault.status))
        assert answer is not None
        code = _code(answer) if answer[0] >= 300 else ""  # noqa: PLR2004 - HTTP
        self._emulator.log.append(Call(request.service, request.action, request.parameters, answer[0], code))
        return answer

    def _answered(self, environ: dict[str, Any], request: _Request) -> Answer:
        mine = request.service == "ec2" and request.action in self._actions
        if mine and (request.action != "CreateTags" or request.parameters["Resources"][0].startswith("i-")):
            try:
                with self._lock:
                    result = self._actions.do(request.action, request.parameters, request.at)
            except AwsError as error:
                return _failed("ec2", error)
            return 200, "text/xml", xml.reply(request.action, result).encode()
        if request.action in _OF_PRICES:
            return self._priced(request)
        if request.action == _CACHED:
            if request.body not in _KEPT:
                _KEPT[request.body] = self._of_moto(environ, request.body)
            return _KEPT[request.body]
        return self._of_moto(environ, request.body)

    def _priced(self, request: _Request) -> Answer:
        try:
            if request.service == "pricing":
                return _json(self._emulator.prices.products(request.parameters))
            history = self._emulator.prices.history(request.parameters)
            return 200, "text/xml", xml.reply(request.action, history).encode()
        except AwsError as error:
            return _failed(request.service, error)

    def _of_moto(self, environ: dict[str, Any], body: bytes) -> Answer:
        with self._moto_lock:
            parts, status, headers = run_wsgi_app(self._moto, {**environ, "wsgi.input": BytesIO(body)}, buffered=True)
            return int(status.split()[0]), headers.get("Content-Type") or "text/xml", b"".join(parts)

    def _next_fault(self, request: _Request) -> Fault | None:
        with self._lock:
            for fault in self._emulator.faults:
                same = fault.action == request.action
                if same and fault.times > 0 and _includes(request.parameters, fault.parameters):
                    fault.times -= 1
                    return fault
        return None


def _read(environ: dict[str, Any], body: bytes) -> _Request:
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = scope["service"] if scope else ""
    moment = environ.get("HTTP_X_AMZ_DATE") or "20260101T000000Z"
    at = f"{moment[:4]}-{moment[4:6]}-{moment[6:11]}:{moment[11:13]}:{moment[13:15]}.000Z"
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return _Request(service, target.rpartition(".")[2], json.loads(body or b"{}"), {}, at, body)
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    action = form.pop("Action", "")
    form.pop("Version", None)
    parameters: dict[str, Any] = xml.read(action, form) if service == "ec2" else dict(form)
    return _Request(service, action, parameters, form, at, body)


def _includes(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(given, dict):
        return all(key in given and _includes(given[key], value) for key, value in wanted.items())
    return bool(given == wanted)


def _failed(service: str, error: AwsError) -> Answer:
    if service == "ec2":
        return error.status, "text/xml", xml.error(error.code, str(error)).encode()
    if service in ("ssm", "pricing"):
        return error.status, "application/x-amz-json-1.1", json.dumps({"__type": error.code}).encode()
    text = f"<ErrorResponse><Error><Code>{error.code}</Code><Message>{error}</Message></Error></ErrorResponse>"
    return error.status, "text/xml", text.encode()


def _code(answer: Answer) -> str:
    found = re.search(rb"<Code>([^<]*)</Code>|\"__type\": *\"([^\"]*)\"", answer[2])
    return (found[1] or found[2]).decode() if found else ""


def _as_json(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in ("service", "action", "parameters", "status", "code")}


def _json(value: object) -> Answer:
    return 200, "application/json", json.dumps(value, default=repr).encode()
