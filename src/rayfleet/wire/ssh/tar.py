"""Files by tar over an open session: for hosts (or machines of users) without rsync. Everything is sent every time."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from rayfleet.wire.ssh.lines import LastLines
from rayfleet.wire.ssh.scripts import path_word, sent
from rayfleet.wire.ssh.selection import Selection
from rayfleet.wire.ssh.session import Files, SshError, Target

CHUNK_BYTES: Final = 256 * 1024
MARK: Final = b"rayfleet: the files follow\n"
"""Comes before the host's data: what a login shell prints by itself is before it, and is dropped."""

_SAY_MARK: Final = f"echo '{MARK.decode().strip()}'"


class Sink(Protocol):
    """Takes what a host sends."""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        ...


class Exchanging(Protocol):
    """What a session has to offer for this."""

    @property
    def target(self) -> Target:
        """Return whom it is with."""
        ...

    async def exchange(self, pieces: Iterable[bytes], output: Sink, timeout_s: float | None) -> int:
        """Send bash its whole input, feed its output to `output`, return its exit code."""
        ...


class AfterMark:
    """Writes to a file what comes after MARK."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._before: bytes | None = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._before is None:
            self._file.write(data)
            return
        self._before += data
        found = self._before.find(MARK)
        if found >= 0:
            self._file.write(self._before[found + len(MARK) :])
            self._before = None


def walk(top: Path, name: str, exclude: Iterable[str], filters: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield (name in the copy, path) of all that is copied from a folder, folders before what is in them.

    `name`: what the folder is called there, "" for only its content. Links are copied as links.
    """
    selection, open_folders = Selection(exclude), [(name, top)]
    while open_folders:
        inside, folder = open_folders.pop()
        for filter_file in (folder / filter_name for filter_name in filters):
            if filter_file.is_file():
                selection.add(inside, filter_file.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(folder.iterdir()):
            own = f"{inside}/{path.name}" if inside else path.name
            is_folder = path.is_dir() and not path.is_symlink()
            if not selection.leaves_out(own, folder=is_folder):
                yield own, path
                if is_folder:
                    open_folders.append((own, path))


def pack(files: Files, into: BinaryIO) -> set[str]:
    """Write a tar file of a local file or folder and return the names in it."""
    source = Path(files.source).expanduser()
    if not source.is_dir():
        listed = [(source.name, source)]
    else:
        name = "" if files.source.endswith("/") else source.name
        listed = [*([(name, source)] if name else []), *walk(source, name, files.exclude, files.filters)]
    with tarfile.open(fileobj=into, mode="w") as archive:
        for own, path in listed:
            archive.add(path, own, recursive=False)
    return {own for own, _ in listed}


class Tar:
    """Copies between this machine and the host of a session."""

    def __init__(self, session: Exchanging) -> None:
        """Take an open session."""
        self._session = session

    async def push(self, files: Files) -> None:
        """Copy to the host."""
        source = Path(files.source).expanduser()
        if not source.exists():
            raise SshError(f"{files.source} does not exist")
        with tempfile.TemporaryFile() as file:
            names = await asyncio.to_thread(pack, files, file)
            file.seek(0)
            script = _unpack_script(files, source)
            await self._checked(script, iter(lambda: file.read(CHUNK_BYTES), b""), LastLines())
        if files.delete and source.is_dir():
            await self._delete_others(files, names)

    async def pull(self, files: Files) -> None:
        """Copy from the host."""
        target = Path(files.target).expanduser()
        parent = target if files.target.endswith("/") else target.parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".rayfleet-", dir=parent) as name, tempfile.TemporaryFile() as file:
            await self._checked(_pack_script(files.source), (), AfterMark(file))
            file.seek(0)
            await asyncio.to_thread(_place, file, Path(name), files, target)

    async def _delete_others(self, files: Files, names: set[str]) -> None:
        """Remove what is in the folder of the host and not in the copy; what is left out of copies stays."""
        name = "" if files.source.endswith("/") else Path(files.source).name
        folder = path_word(f"{files.target.rstrip('/')}/{name}".rstrip("/") or "/")
        with tempfile.TemporaryFile() as listing:
            script = f"{_SAY_MARK}; cd {folder} && find . -type d -print0 && printf '\\0' && find . ! -type d -print0"
            await self._checked(script, (), AfterMark(listing))
            listing.seek(0)
            stale = stale_of(listing.read(), name, names, Selection(files.exclude))
        if stale:
            data = b"".join(f"./{path}".encode() + b"\0" for path in stale)
            await self._checked(f"cd {folder} && xargs -0 rm -rf --", (data,), LastLines())

    async def _checked(self, script: str, data: Iterable[bytes], output: Sink) -> None:
        code = await self._session.exchange(_chain(sent(script), data), output, None)
        if code:
            said = " ".join(output.close()[-5:]) if isinstance(output, LastLines) else f"exit code {code}"
            raise SshError(f"{self._session.target.address}: files could not be copied: {said}")


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def stale_of(listing: bytes, name: str, names: set[str], selection: Selection) -> list[str]:
    """Return what `find` has listed that is no longer in the copy, the topmost of each only. Pure.

    The listing: folders, an empty word, all else, each ended by a zero byte and relative to the folder called `name`.
    """
    folders, _, others = listing.partition(b"\0\0")
    found = [(word.decode(errors="surrogateescape"), True) for word in folders.split(b"\0")]
    found += [(word.decode(errors="surrogateescape"), False) for word in others.split(b"\0")]
    gone: list[str] = []
    kept: set[str] = set()
    for path, folder in sorted((path.removeprefix("./"), folder) for path, folder in found if path not in ("", ".")):
        inside = any(path.startswith(f"{each}/") for each in (*kept, *gone))
        own = f"{name}/{path}" if name else path
        if inside or own in names:
            continue
        if selection.leaves_out(own, folder=folder):
            kept.add(path)
        else:
            gone.append(path)
    return gone


def _unpack_script(files: Files, source: Path) -> str:
    target = path_word(files.target)
    into = f"mkdir -p {target} && exec tar -xof - -C {target}"
    if source.is_dir() or files.target.endswith("/"):
        return into
    name = path_word(source.name)
    return "\n".join(
        (
            f"set -e; target={target}",
            'if [ -d "$target" ]; then exec tar -xof - -C "$target"; fi',
            'folder="$(dirname "$target")"; mkdir -p "$folder"; new="$(mktemp -d "$folder/.rayfleet.XXXXXXXX")"',
            "trap 'rm -rf \"$new\"' EXIT",
            f'tar -xof - -C "$new"; mv -f "$new"/{name} "$target"',
        )
    )


def _pack_script(source: str) -> str:
    """Return a script that sends a file or folder as tar: of a folder with a slash at its end, the content."""
    path = path_word(source.rstrip("/") or "/")
    what = "." if source.endswith("/") else '"$(basename "$path")"'
    where = '"$path"' if source.endswith("/") else '"$(dirname "$path")"'
    return f'path={path}; [ -e "$path" ] || exit 2; {_SAY_MARK}; exec tar -cf - -C {where} {what} 2>/dev/null'


def _place(file: BinaryIO, folder: Path, files: Files, target: Path) -> None:
    """Unpack what the host has sent, and move what is wanted of it to its place."""
    with tarfile.open(fileobj=file) as archive:
        archive.extractall(folder, filter="tar")
    whole = not files.source.endswith("/")
    first = folder / Path(files.source).name if whole else folder
    if whole and not first.is_dir():
        into = files.target.endswith("/") or target.is_dir()
        os.replace(first, target / first.name if into else target)  # noqa: PTH105 - files of one folder
        return
    name = first.name if whole else ""
    names = {name} if name else set()
    for own, path in walk(first, name, files.exclude, files.filters):
        names.add(own)
        _move(path, target / own)
    (target / name).mkdir(parents=True, exist_ok=True)
    if files.delete:
        _delete_others(target / name, name, names, Selection(files.exclude))


def _move(path: Path, place: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        place.mkdir(parents=True, exist_ok=True)
        shutil.copystat(path, place)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, place)  # noqa: PTH105 - files of one folder


def _delete_others(top: Path, name: str, names: set[str], selection: Selection) -> None:
    listed = list(walk(top, "", (), ()))
    folders = b"".join(own.encode() + b"\0" for own, path in listed if path.is_dir() and not path.is_symlink())
    others = b"".join(own.encode() + b"\0" for own, path in listed if not path.is_dir() or path.is_symlink())
    for own in stale_of(folders + b"\0" + others, name, names, selection):
        place = top / own
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()
