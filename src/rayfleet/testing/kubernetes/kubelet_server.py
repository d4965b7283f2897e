"""What a kubelet answers on its port: `kubectl logs`, `kubectl exec`, `kubectl port-forward`, through the API server.

Only the API server may ask: it shows a certificate of the plane's authority. Exec is Kubernetes' WebSocket protocol
(channels 0 to 3 for input, output, errors and the result), which kubectl tries first; terminals are not made.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import WSMsgType, web

from rayfleet.testing.kubernetes.certificates import make_own_certificate
from rayfleet.testing.kubernetes.pod_run import PodRun
from rayfleet.testing.kubernetes.port_forward import PROTOCOL as FORWARDING
from rayfleet.testing.kubernetes.port_forward import PortForward

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, RESULT = 0, 1, 2, 3
CLOSE = 255
CHUNK_BYTES = 32_768
FOLLOW_S = 0.2

Find = Callable[[str, str], PodRun | None]


class KubeletServer:
    """The server of one kubelet; `find` returns a pod by namespace and name."""

    def __init__(self, find: Find, ca: Path, folder: Path) -> None:
        self._find = find
        self._ca = ca
        self._folder = folder
        self._runner: web.AppRunner | None = None

    async def start(self, host: str) -> int:
        """Listen on any port of this address, and return it."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_get("/exec/{namespace}/{pod}/{container}", self._exec)
        app.router.add_get("/portForward/{namespace}/{pod}", self._port_forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, 0, ssl_context=self._tls(host))
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; nothing happens where it does not."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _tls(self, host: str) -> ssl.SSLContext:
        certificate, key = make_own_certificate(self._folder, host)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._ca))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certificate, key)
        return context

    def _pod(self, request: web.Request) -> PodRun:
        pod = self._find(request.match_info["namespace"], request.match_info["pod"])
        if pod is None:
            raise web.HTTPNotFound(text=f"pod {request.match_info['pod']} is not on this node")
        return pod

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        """Send a log from its start or its last lines, and what is added while the container runs, if that is asked."""
        pod, name = self._pod(request), request.match_info["container"]
        starts = pod.logs.get(name, [])
        wanted = -2 if request.query.get("previous") == "true" else -1
        if len(starts) < -wanted:
            raise web.HTTPNotFound(text=f"container {name} of pod {pod.name} has not started that often")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        follow = request.query.get("follow") == "true" and wanted == -1
        with starts[wanted].open("rb") as log:
            await answer.write(_tail(log.read(), request.query.get("tailLines")))
            while follow and _runs(pod, name) and pod.logs[name][-1] == starts[wanted]:
                await asyncio.sleep(FOLLOW_S)
                await answer.write(log.read())
            await answer.write(log.read() if follow else b"")
        return answer

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        pod, name = self._pod(request), request.match_info["container"]
        container = pod.containers.get(name)
        if container is None:
            raise web.HTTPNotFound(text=f"container {name} of pod {pod.name} has not started")
        socket = web.WebSocketResponse(protocols=PROTOCOLS)
        await socket.prepare(request)
        try:
            argv = container.command(request.query.getall("command"))
        except ProcessLookupError as problem:
            await socket.send_bytes(_result({"status": "Failure", "message": str(problem)}))
        else:
            await _run(socket, argv, wants_input=request.query.get("input") == "1")
        await socket.close()
        return socket

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        socket = web.WebSocketResponse(protocols=(FORWARDING,))
        await socket.prepare(request)
        await PortForward(socket, pod.ip).serve()
        return socket


def _runs(pod: PodRun, name: str) -> bool:
    container = pod.containers.get(name)
    return not pod.leaving and container is not None and container.first_process() is not None


def _tail(text: bytes, lines: str | None) -> bytes:
    if lines is None:
        return text
    return b"".join(text.splitlines(keepends=True)[-int(lines) :] if int(lines) else [])


async def _run(socket: web.WebSocketResponse, argv: list[str], *, wants_input: bool) -> None:
    """Run a command with its channels on the socket; the last message says how it ended."""
    pipe = asyncio.subprocess.PIPE
    source = pipe if wants_input else asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdin=source, stdout=pipe, stderr=pipe)
    reading = asyncio.create_task(_feed(socket, process.stdin))
    try:
        await asyncio.gather(_send(socket, STDOUT, process.stdout), _send(socket, STDERR, process.stderr))
        code = await process.wait()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await socket.send_bytes(_result(_ended(code)))


async def _send(socket: web.WebSocketResponse, channel: int, source: asyncio.StreamReader | None) -> None:
    while source is not None and (chunk := await source.read(CHUNK_BYTES)):
        await socket.send_bytes(bytes([channel]) + chunk)


async def _feed(socket: web.WebSocketResponse, sink: asyncio.StreamWriter | None) -> None:
    """Pass on what comes in for the program; version 5 says when there is no more of it."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or sink is None:
            continue
        if message.data[0] == STDIN:
            sink.write(message.data[1:])
            await sink.drain()
        elif message.data[:2] == bytes([CLOSE, STDIN]):
            sink.close()
    if sink is not None:
        sink.close()


def _ended(code: int) -> dict[str, object]:
    if code == 0:
        return {"status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with non-zero exit code: exit status {code}"
    return {"status": "Failure", "reason": "NonZeroExitCode", "message": message, "details": {"causes": causes}}


def _result(status: dict[str, object]) -> bytes:
    return bytes([RESULT]) + json.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, **status}).encode()
