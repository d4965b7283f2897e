"""The emulator over HTTP, on a loopback port of its own, with doors for tests: `/_fault`, `/_log`, `/_evict`."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from rayfleet.testing.clouds.azure import models
from rayfleet.testing.clouds.azure.arm import MACHINES, Arm, Call, Reply
from rayfleet.testing.clouds.azure.faults import ArmError, Fault
from rayfleet.testing.clouds.azure.ids import Place, place
from rayfleet.testing.clouds.azure.machines import Living, Machines, OnGone, OnLaunch

SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000000"
METADATA: Final = "/metadata/instance/compute/"


class _Cut(Exception):
    """The connection is cut before the answer."""


class AzureEmulator:
    """A running emulator, to be used in a `with` block.

    Machines get on by being looked at: a list of them shows how they stand, and has them be one step further. They ask
    /metadata/instance/compute/ (name, subscriptionId, userData) about themselves, and are known by their addresses.
    """

    def __init__(
        self,
        *,
        page_size: int = 250,
        polls: int = 0,
        on_launch: OnLaunch | None = None,
        on_gone: OnGone | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """Take the hooks; `page_size` and `polls` as in `Arm`. `host`: the address of ours to answer at."""
        self._arm = Arm(page_size, polls)
        self._machines = Machines(self._arm, on_launch, on_gone)
        self._lock = threading.RLock()
        self._server = _server(self, host)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.log: list[tuple[str, str]] = []
        """Method and path of every call to the cloud, in their order."""

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Return where it answers."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def living(self) -> tuple[Living, ...]:
        """Return the machines that there are."""
        with self._lock:
            return self._machines.living()

    @property
    def made(self) -> tuple[str, ...]:
        """Return the names of all machines that were ever made, in their order."""
        with self._lock:
            return tuple(self._machines.made)

    def fail(self, fault: Fault) -> None:
        """Have the next calls that match go wrong."""
        with self._lock:
            self._arm.faults.waiting.append(fault)

    def heal(self) -> None:
        """Have nothing go wrong any more."""
        with self._lock:
            self._arm.faults.waiting.clear()

    def evict(self, name: str) -> bool:
        """Evict a spot machine; False when there is none of that name."""
        with self._lock:
            return self._machines.evict(name)

    def hide_new(self, lists: int) -> None:
        """Have machines that are made from now on be missing in so many lists."""
        with self._lock:
            self._machines.hide_new = lists

    def fail_update(self, name: str, code: str) -> None:
        """Have a change of a machine fail; the machine runs on."""
        with self._lock:
            self._machines.fail_update(name, code)

    def vanish(self, name: str) -> None:
        """Have a machine be gone without a word."""
        with self._lock:
            self._machines.vanish(name)

    def orphan_disk(self, name: str) -> None:
        """Have a machine be gone and its system disk left."""
        with self._lock:
            self._machines.orphan_disk(name)

    def wipe(self) -> None:
        """Have everything be gone, resource groups too."""
        with self._lock:
            self._arm.records.clear()

    def power(self, name: str, action: str) -> None:
        """Do to a machine what somebody does in the portal: start, deallocate, powerOff."""
        with self._lock:
            (record,) = [record for record in self._arm.of_kind(MACHINES) if record["name"] == name]
            where = place(f"{record['id']}/{action}")
            assert where is not None
            self._machines.act(Call("POST", f"{record['id']}/{action}"), where)

    def advance(self) -> None:
        """Let time pass for machines that nobody looks at."""
        with self._lock:
            self._machines.advance()

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """Return what there is of a kind (`virtualMachines`, `disks`, ...), seen without a client."""
        with self._lock:
            return [dict(body) for key, body in sorted(self._arm.records.items()) if f"/{kind.lower()}/" in key]

    def calls(self) -> Counter[str]:
        """Return how often what was called: `PUT virtualmachines`, `GET virtualmachines (list)`."""
        return Counter(_named(method, path) for method, path in self.log)

    def answer(self, call: Call) -> Reply:
        """Answer one request."""
        if call.path.startswith("/_operations/"):
            self.log.append((call.method, "/_operations"))
            with self._lock:
                return self._arm.poll(call.path.rpartition("/")[2])
        if call.path.startswith("/_"):
            return self._door(call)
        if call.path.startswith(METADATA):
            with self._lock:
                return Reply(200, self._machines.about(call.peer, call.path.removeprefix(METADATA)))
        self.log.append((call.method, call.path))
        with self._lock:
            fault = self._arm.faults.take(call.method, call.path, call.body)
            if fault is not None and fault.cut:
                raise _Cut
            if fault is not None and not (fault.late or fault.lost):
                raise fault.error()
            reply = self._act(call, fault if fault and fault.late else None)
        if reply.after is not None:
            reply.after()
        if fault is not None and fault.lost:
            raise _Cut
        return reply

    def _door(self, call: Call) -> Reply:
        body = call.body or {}
        if call.path == "/_fault":
            self.fail(fault_of(body))
            return Reply(200, {})
        if call.path == "/_evict":
            return Reply(200, {"evicted": self.evict(body["name"])})
        if call.path == "/_log":
            return Reply(200, {"calls": self.log})
        raise ArmError(404, "NotFound", call.path)

    def _act(self, call: Call, late: Fault | None) -> Reply:
        where = place(call.path)
        if where is None or not models.known(where.kind):
            raise ArmError(404, "InvalidResourceType", call.path)
        if where.action:
            return self._machines.act(call, where)
        if not where.name:
            return self._list(call, where)
        if call.method == "PUT":
            return self._put(call, where, late)
        if call.method == "PATCH" and where.kind == MACHINES:
            return self._machines.patch(call, where)
        if call.method == "DELETE":
            machine = where.kind == MACHINES
            return self._machines.delete(call) if machine else self._arm.delete(call, where)
        if call.method in ("GET", "HEAD"):
            return self._arm.read(call)
        raise ArmError(405, "MethodNotAllowed", call.method)

    def _put(self, call: Call, where: Place, late: Fault | None) -> Reply:
        if where.kind == MACHINES:
            if found := models.problems(where.kind, call.body):
                raise ArmError(400, "InvalidRequestContent", "; ".join(found))
            return self._machines.put(call, where, late)
        record, new = self._arm.write(call, where)
        if "network" in where.kind:
            return self._arm.begun(call, 201 if new else 200, record)
        return Reply(201 if new else 200, record)

    def _list(self, call: Call, where: Place) -> Reply:
        if call.query.get("statusOnly") == "true":
            return self._arm.page(call, self._machines.statuses())
        machines = where.kind == MACHINES
        found = self._machines.shown(where.group) if machines else self._arm.of_kind(where.kind, where.group)
        reply = self._arm.page(call, found)
        if machines and "nextLink" not in reply.body:
            self._machines.advance()
        return reply


def _named(method: str, path: str) -> str:
    where = place(path)
    if where is None:
        return f"{method} {path.strip('/_')}"
    kind = where.kind.rpartition("/")[2]
    return f"{method} {kind}{'' if where.name else ' (list)'}{'/' + where.action if where.action else ''}"


def _server(emulator: AzureEmulator, host: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without this each answer waits 40 ms for the acknowledgement of its header.
        disable_nagle_algorithm = True
        wbufsize = -1

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            base, peer = f"http://{headers.get('host', '')}", self.client_address[0]
            try:
                self._send(
                    emulator.answer(Call(self.command, url.path, dict(parse_qsl(url.query)), headers, body, base, peer))
                )
            except ArmError as error:
                self._send(Reply(error.status, error.body(), error.headers))
            except _Cut:
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            data = b"" if reply.body is None else text.encode()
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/plain" if isinstance(reply.body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)
            self.wfile.flush()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    return Server((host, 0), Handler)


def fault_of(body: dict[str, Any]) -> Fault:
    """Return a fault from what `/_fault` was sent, with unknown keys refused."""
    unknown = body.keys() - {field.name for field in dataclasses.fields(Fault)}
    if unknown:
        raise ArmError(400, "InvalidRequestContent", f"unknown: {', '.join(sorted(unknown))}")
    return Fault(**body)
