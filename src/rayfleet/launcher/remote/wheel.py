"""The wheel that this rayfleet carries to heads where no package index has its version: made from what is installed.

Only Python and data: the planner's kernel is for this machine's processor, and goes along as its source.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import rayfleet
from rayfleet.launcher.errors import LauncherError

_LEFT_OUT: Final = frozenset({"__pycache__"})
_BUILT: Final = frozenset({".so", ".pyc"})
_DATE: Final = (2020, 1, 1, 0, 0, 0)
"""The same in every wheel, so that the same code makes the same bytes."""
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: rayfleet\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def name() -> str:
    """Return the wheel's file name."""
    return f"rayfleet-{rayfleet.__version__}-py3-none-any.whl"


@cache
def build() -> bytes:
    """Return the wheel's content; made once by a process.

    Raises:
        LauncherError: rayfleet is not installed here, so that nobody knows what it needs.
    """
    files = {**dict(_package()), **_about()}
    record = f"{_info()}/RECORD"
    lines = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _info() -> str:
    return f"rayfleet-{rayfleet.__version__}.dist-info"


def _package() -> Iterator[tuple[str, bytes]]:
    """Yield the package's files by their path in the wheel."""
    folder = Path(rayfleet.__file__).parent
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder.parent)
        if file.is_file() and file.suffix not in _BUILT and _LEFT_OUT.isdisjoint(inside.parts):
            yield inside.as_posix(), file.read_bytes()


def _about() -> dict[str, bytes]:
    """Return the files that say what the package is and needs, as they were installed here."""
    try:
        installed = distribution("rayfleet")
    except PackageNotFoundError:
        hint = "pip install rayfleet, or install it on the head by setup_commands"
        raise LauncherError("rayfleet runs from a folder here and cannot be carried to the head", hint) from None
    told = {part: installed.read_text(part) or "" for part in ("METADATA", "entry_points.txt")}
    texts = {**told, "WHEEL": _WHEEL}
    return {f"{_info()}/{part}": text.encode() for part, text in texts.items()}


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
