"""SPDY as kubectl speaks it: what one side packs the other side reads."""

import struct
import zlib

from rayfleet.testing.kubernetes.spdy import DICTIONARY, FIN, Frame, Reader, Type, Writer

OPEN = 0x80030001


def opened(stream: int, headers: dict[str, str], packer: "zlib._Compress") -> bytes:
    """Return the frame by which a client opens a stream."""
    words = [word.encode() for pair in headers.items() for word in pair]
    block = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(word)) + word for word in words)
    body = struct.pack(">IIH", stream, 0, 0) + packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)
    return struct.pack(">II", OPEN, len(body)) + body


def test_the_dictionary_is_that_of_the_protocol() -> None:
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_frames_are_read_however_they_are_cut() -> None:
    """One compression goes through all headers of a connection."""
    packer = zlib.compressobj(zdict=DICTIONARY)
    headers = [{"streamtype": kind, "port": "8265", "requestid": "0"} for kind in ("error", "data")]
    data = struct.pack(">II", 3, FIN << 24 | 5) + b"hello"
    sent = opened(1, headers[0], packer) + opened(3, headers[1], packer) + data
    whole = [*Reader().feed(sent)]
    assert whole == [
        Frame(Type.OPEN, 1, headers=headers[0]),
        Frame(Type.OPEN, 3, headers=headers[1]),
        Frame(Type.DATA, 3, b"hello", last=True),
    ]
    reader = Reader()
    assert [frame for byte in sent for frame in reader.feed(bytes([byte]))] == whole


def test_what_goes_out_is_read_by_the_other_side() -> None:
    writer, unpack = Writer(), zlib.decompressobj(zdict=DICTIONARY)
    for stream in (1, 3):
        reply = writer.reply(stream)
        assert struct.unpack_from(">IIi", reply) == (0x80030002, len(reply) - 8, stream)
        assert unpack.decompress(reply[12:]) == bytes(4)
    assert [*Reader().feed(writer.data(3, b"x") + writer.data(3, b"", last=True))] == [
        Frame(Type.DATA, 3, b"x"),
        Frame(Type.DATA, 3, last=True),
    ]
    ping = Frame(Type.PING, data=b"\0\0\0\7")
    assert [*Reader().feed(writer.pong(ping))] == [ping]
