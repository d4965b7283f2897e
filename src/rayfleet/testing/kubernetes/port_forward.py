"""`kubectl port-forward` at the kubelet: each connection is two SPDY streams of one WebSocket, for data and for errors.

What listens on a pod's loopback only is not reached: connections go to the pod's address.
"""

import asyncio

from aiohttp import WSMsgType, web

from rayfleet.testing.kubernetes.spdy import Frame, Reader, Type, Writer

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHUNK_BYTES = 32_768


class PortForward:
    """One `kubectl port-forward`, which ends with its socket."""

    def __init__(self, socket: web.WebSocketResponse, address: str) -> None:
        self._socket = socket
        self._address = address
        self._reader, self._writer = Reader(), Writer()
        self._errors: dict[str, int] = {}
        self._sinks: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Pass data both ways until the client goes."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    for frame in self._reader.feed(message.data):
                        await self._take(frame)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for sink in self._sinks.values():
                sink.close()

    async def _take(self, frame: Frame) -> None:
        if frame.type == Type.OPEN:
            await self._socket.send_bytes(self._writer.reply(frame.stream))
            if frame.headers["streamtype"] == "error":
                self._errors[frame.headers["requestid"]] = frame.stream
            else:
                await self._connect(frame)
        elif frame.type == Type.PING:
            await self._socket.send_bytes(self._writer.pong(frame))
        elif frame.stream in self._sinks:
            await self._pass_on(frame)

    async def _pass_on(self, frame: Frame) -> None:
        sink = self._sinks[frame.stream]
        try:
            sink.write(frame.data if frame.type == Type.DATA else b"")
            await sink.drain()
            if frame.last:
                sink.write_eof()
        except OSError:
            sink.close()  # its other half says so to the client
        if frame.type == Type.RESET:
            sink.close()

    async def _connect(self, opened: Frame) -> None:
        error = self._errors.pop(opened.headers["requestid"])
        try:
            source, sink = await asyncio.open_connection(self._address, int(opened.headers["port"]))
        except OSError as problem:
            await self._end(opened.stream, error, str(problem))
            return
        self._sinks[opened.stream] = sink
        task = asyncio.create_task(self._bring(opened.stream, error, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring(self, stream: int, error: int, source: asyncio.StreamReader) -> None:
        """Bring what the pod says to the client, and the end of it."""
        problem = ""
        try:
            while chunk := await source.read(CHUNK_BYTES):
                await self._socket.send_bytes(self._writer.data(stream, chunk))
        except OSError as failure:
            problem = str(failure)
        self._sinks.pop(stream).close()
        await self._end(stream, error, problem)

    async def _end(self, stream: int, error: int, problem: str) -> None:
        await self._socket.send_bytes(self._writer.data(stream, b"", last=True))
        await self._socket.send_bytes(self._writer.data(error, problem.encode(), last=True))
