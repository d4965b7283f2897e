"""SPDY/3 as far as `kubectl port-forward` speaks it: streams with headers, their data, and their ends. Pure."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

VERSION = 3
FIN = 1
HEAD_BYTES = 8
CONTROL = 0x80000000
NUMBER = 0x7FFFFFFF


class Type(IntEnum):
    """The kinds of frames that matter here; DATA has no number in the protocol."""

    DATA = 0
    OPEN = 1
    REPLY = 2
    RESET = 3
    PING = 6


_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server "
    "te trailer transfer-encoding upgrade "  # codespell:ignore te
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)


def _text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


DICTIONARY = b"".join(_text(word.replace("_", " ").encode()) for word in _WORDS.split()) + _TAIL.encode()
"""What both sides' compression of headers begins with: the protocol's own words, adler32 0xe3c6a7c2."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that came in; `last`: the sender says no more on this stream."""

    type: int
    stream: int = 0
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False


class Reader:
    """Takes in bytes as they come, and yields the frames that are complete."""

    def __init__(self) -> None:
        self._kept = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, more: bytes) -> Iterator[Frame]:
        """Yield what has become complete."""
        self._kept += more
        while len(self._kept) >= HEAD_BYTES:
            first, second = struct.unpack_from(">II", self._kept)
            size = second & 0xFFFFFF
            if len(self._kept) < HEAD_BYTES + size:
                return
            body, self._kept = self._kept[HEAD_BYTES : HEAD_BYTES + size], self._kept[HEAD_BYTES + size :]
            last = bool(second >> 24 & FIN)
            if first & CONTROL:
                yield self._control(first & 0xFFFF, body, last=last)
            else:
                yield Frame(Type.DATA, first & NUMBER, body, last=last)

    def _control(self, kind: int, body: bytes, *, last: bool) -> Frame:
        if kind == Type.OPEN:
            headers = dict(_headers(self._inflate.decompress(body[10:])))
            return Frame(kind, struct.unpack_from(">I", body)[0] & NUMBER, headers=headers, last=last)
        stream = struct.unpack_from(">I", body)[0] & NUMBER if kind == Type.RESET else 0
        return Frame(kind, stream, body, last=last)


class Writer:
    """Makes the frames that go out; its own compression goes without the dictionary, which the protocol allows."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj()

    def reply(self, stream: int) -> bytes:
        """Accept a stream, with no headers."""
        packed = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(Type.REPLY, struct.pack(">I", stream) + packed)

    def data(self, stream: int, data: bytes, *, last: bool = False) -> bytes:
        """Send data, or the end."""
        return struct.pack(">II", stream, (FIN if last else 0) << 24 | len(data)) + data

    def pong(self, ping: Frame) -> bytes:
        """Answer a ping."""
        return _control(Type.PING, ping.data)


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", CONTROL | VERSION << 16 | kind, len(body)) + body


def _headers(block: bytes) -> Iterator[tuple[str, str]]:
    (count,) = struct.unpack_from(">I", block)
    words, place = [], 4
    for _ in range(2 * count):
        (size,) = struct.unpack_from(">I", block, place)
        words.append(block[place + 4 : place + 4 + size].decode())
        place += 4 + size
    yield from zip(words[::2], words[1::2], strict=True)
