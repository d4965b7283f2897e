"""The emulated cloud on a loopback port: HTTP in, calls out, and everything checked against Google's own schemas."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from rayfleet.testing.clouds.gcp.account import Account
from rayfleet.testing.clouds.gcp.actions import ACTIONS
from rayfleet.testing.clouds.gcp.call import Call
from rayfleet.testing.clouds.gcp.discovery import Api, Method, api
from rayfleet.testing.clouds.gcp.faults import ApiFault, Fault, bad_request, not_found

Headers = Mapping[str, str] | Message
APIS = ("compute.v1", "iam.v1", "cloudresourcemanager.v1", "tpu.v2")
PROJECT_KEYS = ("project", "projectsId", "resource")
METADATA = "/computeMetadata/v1/instance/"


class GcpEmulator:
    """Compute Engine for one project, while it is entered. `invalid`: answers of its own that Google's would not be.

    Over HTTP it can be told what to do, too: POST /_fault (the fields of `Fault`), POST /_preempt {"name": ...}, and
    GET /_log (Google's names of all calls so far, in order). Machines ask /computeMetadata/v1/instance/ who they are:
    they are told apart by the address that they come from; a single one may come from anywhere.
    """

    def __init__(self, account: Account | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take the account; port 0: any free one."""
        self.account = account or Account()
        self.log: list[str] = []
        self.invalid: list[str] = []
        self.faults: list[Fault] = []
        self._apis: tuple[Api, ...] = tuple(map(api, APIS))
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def endpoint(self) -> str:
        """Return its address, as `provider.endpoint` takes it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def calls(self) -> Counter[str]:
        """Return how often each call was made."""
        return Counter(self.log)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End; fail when any answer did not fit Google's schemas."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        assert not self.invalid, self.invalid

    def answer(self, verb: str, target: str, body: Mapping[str, Any], headers: Headers, peer: str) -> Any:
        """Answer one request.

        Raises:
            ApiFault: the answer is an error.
        """
        parts = urlsplit(target)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))
        with self._lock:
            if path.startswith(METADATA):
                return self._metadata(path.removeprefix(METADATA), headers, peer)
            if path.startswith("/_"):
                return self._told(path, dict(body))
            return self._called(verb, path, query, dict(body))

    def _called(self, verb: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        known = next(((one, *found) for one in self._apis if (found := one.find(verb, path))), None)
        if known is None:
            raise not_found(f"{verb} {path}")
        described, method, inner = known
        self.log.append(method.id)
        fault = self._fault(method.id, inner.get("zone") or inner.get("locationsId", ""))
        if fault and not fault.operation and not fault.done:
            raise ApiFault(fault.status, fault.reason, fault.message)
        wrong = [*described.wrong_query(method, query)]
        wrong += described.wrong(method.request, body) if method.request else (["no body belongs here"] if body else [])
        project = next((inner[key] for key in PROJECT_KEYS if key in inner), "")
        if project != self.account.project:
            raise not_found(f"projects/{project}")
        if wrong or method.id not in ACTIONS:
            raise bad_request("; ".join(wrong) or f"the emulator has no {method.id}")
        answer = ACTIONS[method.id](self.account, Call(method.id, inner, query, body, fault))
        self._check(described, method, answer)
        if fault and fault.done:
            raise ApiFault(fault.status, fault.reason, fault.message)
        return answer

    def _check(self, described: Api, method: Method, answer: Any) -> None:
        wrong = list(described.wrong(method.response, answer))
        self.invalid += wrong
        assert not wrong, wrong

    def _fault(self, action: str, zone: str) -> Fault | None:
        for fault in self.faults:
            if fault.meets(action, zone) or (
                fault.zone and action.endswith(("aggregatedList", "nodes.list")) and fault.meets(action, fault.zone)
            ):
                fault.times -= 1
                return fault
        return None

    def _told(self, path: str, body: dict[str, Any]) -> Any:
        known = {field.name for field in fields(Fault)}
        if path == "/_log":
            return {"calls": list(self.log)}
        if path == "/_fault" and "action" in body and set(body) <= known:
            self.faults.append(Fault(**body))
            return {}
        if path == "/_preempt" and set(body) == {"name"}:
            self.account.preempt(body["name"])
            return {}
        raise bad_request(f"{path} is not understood")

    def _metadata(self, key: str, headers: Headers, peer: str) -> str:
        """Tell a machine about itself, as text."""
        if headers.get("Metadata-Flavor") != "Google":
            raise ApiFault(HTTPStatus.FORBIDDEN, "forbidden", "the header Metadata-Flavor: Google is missing")
        machines = list(self.account.machines.values())
        mine = [m for m in machines if any(i.get("networkIP") == peer for i in m.body["networkInterfaces"])]
        if len(mine or machines) != 1:
            raise not_found(f"the machine at {peer}")
        machine = (mine or machines)[0]
        known = {
            "name": machine.name,
            "id": machine.body["id"],
            "zone": machine.body["zone"].partition("/v1/")[2],
            "preempted": "TRUE" if machine.preempted else "FALSE",
            **{f"attributes/{name}": value for name, value in machine.metadata.items()},
        }
        if key not in known:
            raise not_found(key)
        return str(known[key])


def _handler(emulator: GcpEmulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it that
            """Write nothing: there is `/_log`."""

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer = 200, None
            try:
                answer = emulator.answer(self.command, self.path, body, self.headers, self.client_address[0])
            except ApiFault as fault:
                status, answer = fault.status, fault.body()
            except AssertionError as error:  # kept in `invalid`; the client is told, too
                own = ApiFault(HTTPStatus.NOT_IMPLEMENTED, "emulator", f"invalid answer: {error}")
                status, answer = own.status, own.body()
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.send_header("Content-Type", "application/text" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815 - the base class looks for these names

    return Handler
