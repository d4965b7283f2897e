"""What is to outlive a cluster: its record, its logs and its configuration, in a folder or in a bucket.

    TO/CLUSTER/20261123T094100Z/
        history.sqlite   the record, whole: `rayfleet history --record FOLDER` (why, simulate, ...) reads it there
        status.json      how it was last                logs/...         the controller's, and its machines' own
        config.json      with every default, without secrets
        nodes/ID/...     where it is asked for: the ends of the logs of Ray's nodes (see `node_logs`)
        manifest.json    every file with its size and SHA-256; written last: where it is missing, the rest is not whole

The record is copied while it is written to. Nothing of the cluster is changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rayfleet.config import ConfigInvalid, show
from rayfleet.launcher import logs, node_logs, view
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.looking import Opening, opened
from rayfleet.launcher.node_logs import Missing
from rayfleet.launcher.spec import stored
from rayfleet.reports.history import HistoryUnavailable

S3: Final = "s3://"
MANIFEST: Final = "manifest.json"
WITHIN_S: Final = 1800.0
"""How long the head of a cluster elsewhere may take, and the way from there, unless one says otherwise."""
_TIDY_WITHIN_S: Final = 60.0
_FOLDER_THERE: Final = ".rayfleet/.archive"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_USUAL: Final = Opening()
_PIP_LINE: Final = 'pip install "rayfleet[aws]"'

Put = Callable[[Path, str], None]
"""Stores a file under its name in the archive."""


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive. `at`: the folder or address of this one; `files`: name in it -> bytes.

    `missing`: what of the nodes' logs is not in it, or not whole.
    """

    cluster: str
    at: str
    files: dict[str, int]
    missing: tuple[Missing, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        told = {"cluster": self.cluster, "at": self.at, "bytes": sum(self.files.values()), "files": self.files}
        return told | {"missing": [each.as_json() for each in self.missing]}


def archive(home: Home, to: str, now: float, node_mib: int = 0, how: Opening = _USUAL) -> Archived:
    """Copy what there is of a cluster to a folder, or to `s3://BUCKET/PREFIX`. `now`: seconds since the epoch.

    `node_mib`: so many MiB of the ends of the logs of Ray's nodes, too. `how` they are looked at.

    Raises:
        LauncherError: there is nothing to keep, or it cannot be written there.
    """
    name = f"{home.name}/{time.strftime(_STAMP, time.gmtime(now))}"
    with tempfile.TemporaryDirectory(prefix="rayfleet-archive-") as scratch:
        gathered = Path(scratch)
        try:
            _gather(home, gathered)
            missing = _gather_nodes(home, gathered / "nodes", node_mib, how)
        except (OSError, sqlite3.Error) as error:
            raise LauncherError(f"what there is of {home.name} cannot be read: {error}") from error
        found = sorted(path for path in gathered.rglob("*") if path.is_file())
        if not found:
            raise NotRunning(f"cluster {home.name} has recorded nothing yet", f"rayfleet up {home.name}")
        _write_manifest(home, gathered, found, missing, now)
        names = [str(path.relative_to(gathered)) for path in found] + [MANIFEST]
        at = _to_bucket(to, name, gathered, names) if to.startswith(S3) else _to_folder(Path(to), name, gathered, names)
        return Archived(home.name, at, {each: (gathered / each).stat().st_size for each in names}, missing)


def from_head(home: Home, to: str, now: float, node_mib: int = 0, within_s: float = WITHIN_S) -> Archived:
    """Have the head of a cluster elsewhere do that: to the bucket itself, or to a folder there that is then fetched.

    `within_s`: how long the head may take, and then the way from there.

    Raises:
        LauncherError: as `archive`, or the head does not answer, or not in time.
    """
    from rayfleet.launcher.remote import verbs

    if to.startswith(S3):
        return _kept_there(home, to, node_mib, within_s)
    there = f"{_FOLDER_THERE}/{int(now)}"
    try:
        kept = _kept_there(home, there, node_mib, within_s)
        at = Path(to).expanduser() / Path(kept.at).relative_to(there)
        at.mkdir(parents=True, exist_ok=True, mode=0o700)
        failed = verbs.copied(verbs.copy(home, f"{kept.at}/", f"{at}/", up=False), within_s)
    finally:
        verbs.copied(verbs.command(home, ["rm", "-rf", there]), _TIDY_WITHIN_S)
    if failed:
        raise LauncherError(f"what the head of {home.name} kept could not be fetched: {failed}", _MORE_TIME)
    return replace(kept, at=str(at))


_MORE_TIME: Final = "again, with more --timeout SECONDS where it takes long, or --to s3://BUCKET, where the head writes"


def _kept_there(home: Home, to: str, node_mib: int, within_s: float) -> Archived:
    """Have the head keep it, at a place as the head knows it."""
    from rayfleet.launcher.remote import verbs

    nodes = ["--node-logs", str(node_mib)] if node_mib else []
    words = verbs.verb(home, ["archive", home.name, "--to", to, *nodes, "--json"], tty=False)
    try:
        ran = subprocess.run(
            words, capture_output=True, text=True, timeout=within_s, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise LauncherError(f"the head of {home.name} was not done within {within_s:.0f} s", _MORE_TIME) from None
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or [f"ssh ended with {ran.returncode}"]
        raise LauncherError(f"the head of {home.name} kept nothing: {said[0].removeprefix('error: ')}")
    told = json.loads(ran.stdout)
    missing = tuple(Missing(**each) for each in told.get("missing", ()))
    return Archived(told["cluster"], told["at"], told["files"], missing)


# ---- what there is ---------------------------------------------------------------------------------------------------


def _gather(home: Home, folder: Path) -> None:
    if home.history.exists():
        _copy_record(home.history, folder / home.history.name)
        _write_json(folder / "status.json", lambda: view.status_json(home))
    _write_json(folder / "config.json", lambda: show(stored(home)))
    for path in logs.paths(home):
        (folder / "logs").mkdir(exist_ok=True)
        shutil.copyfile(path, folder / "logs" / path.name)


def _gather_nodes(home: Home, folder: Path, most_mib: int, how: Opening) -> tuple[Missing, ...]:
    """Keep what Ray's nodes have written; of a cluster that is down that is gone, and told as missing."""

    async def within() -> tuple[Missing, ...]:
        async with opened(home, how) as state:
            return await node_logs.gather(state, folder, most_mib * 2**20)

    if most_mib <= 0:
        return ()
    try:
        return asyncio.run(within())
    except LauncherError as error:
        return (Missing("nodes", str(error)),)


def _copy_record(source: Path, target: Path) -> None:
    """Copy a database of which somebody else may be writing the next page."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written)
        written.execute("PRAGMA journal_mode = DELETE")  # one file, which may lie where nobody can write


def _write_json(path: Path, value: Callable[[], Any]) -> None:
    """Write what can be told; a configuration of another release, or a record without ticks, cannot."""
    try:
        path.write_text(json.dumps(value(), indent=2, default=str) + "\n", encoding="utf-8")
    except (ConfigInvalid, LauncherError, HistoryUnavailable):
        return


def _write_manifest(home: Home, folder: Path, files: list[Path], missing: tuple[Missing, ...], now: float) -> None:
    rows = {str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": _digest(path)} for path in files}
    lost = [each.as_json() for each in missing]
    told = {"format": 1, "cluster": home.name, "at": now, "files": rows, "missing": lost}
    (folder / MANIFEST).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- where it goes ---------------------------------------------------------------------------------------------------


def _to_folder(to: Path, name: str, gathered: Path, names: list[str]) -> str:
    target = to.expanduser() / name
    try:
        for each in names:
            (target / each).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _copy_whole(gathered / each, target / each)
    except OSError as error:
        raise LauncherError(f"{target} cannot be written: {error}", "give another folder with --to") from error
    return str(target)


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a file whole or not at all; only its owner may read it."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o600)
    fresh.replace(target)


def _to_bucket(to: str, name: str, gathered: Path, names: list[str]) -> str:
    bucket, _, prefix = to.removeprefix(S3).partition("/")
    if not bucket:
        raise LauncherError(f"{to} names no bucket", "write s3://BUCKET/PREFIX")
    base = "/".join(part for part in (prefix.strip("/"), name) if part)
    try:
        import boto3
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise LauncherError("a bucket needs a package that is not installed here", _PIP_LINE) from None
    try:
        client = boto3.client("s3")
        for each in names:
            client.upload_file(str(gathered / each), bucket, f"{base}/{each}")
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        hint = "its keys are those of AWS's own tools; of another place than AWS, AWS_ENDPOINT_URL_S3 names the address"
        raise LauncherError(f"the bucket {bucket} cannot be written: {error}", hint) from error
    return f"{S3}{bucket}/{base}"
