"""Pictures for the documentation: packed tighter, with the same pixels, and never too large."""

import struct
import zlib
from pathlib import Path

import pytest
from scripts.screenshots import repacked, write

ROOT = Path(__file__).parents[3]
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(side: int, *, level: int = 0) -> bytes:
    """Return a grey square, in two parts, with a text that no reader of pictures needs."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\x00" + bytes([row % 256]) * side for row in range(side)), level)
    parts = (pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :])
    told = chunk(b"tEXt", b"Software\x00somebody")
    return SIGNATURE + chunk(b"IHDR", header) + told + b"".join(chunk(b"IDAT", p) for p in parts) + chunk(b"IEND", b"")


def pixels_of(png: bytes) -> bytes:
    found, at = b"", len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + data),)
        found += data if kind == b"IDAT" else b""
        at += length + 12
    return zlib.decompress(found)


def test_a_picture_is_packed_and_stays_as_it_is() -> None:
    before = picture(64)
    after = repacked(before)
    assert len(after) < len(before) / 4
    assert pixels_of(after) == pixels_of(before)
    assert b"Software" not in after


def test_a_picture_that_is_too_large_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"big\.png has \d+ bytes"):
        write(picture(64), tmp_path / "big.png", most_bytes=100)
    assert list(tmp_path.iterdir()) == []
    write(picture(64), tmp_path / "small.png", most_bytes=10_000)
    assert (tmp_path / "small.png").read_bytes() == repacked(picture(64))


def test_every_picture_of_the_page_is_there_and_small() -> None:
    text = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
    there = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").glob("dashboard-*.png")}
    assert {name for name in there if f"(images/{name})" not in text} == set()
    assert text.count("](images/") == len(there)
    assert [name for name, size in there.items() if size >= 300_000] == []
