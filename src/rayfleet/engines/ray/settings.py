"""Where a cluster's Ray is reached and how it is tuned: one frozen value, kept as a file in the cluster's folder."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

FILE_NAME = "ray.json"
TOKEN_FILE_NAME = "ray-token"  # noqa: S105 - the name of the file, not its content
DEFAULT_TEMP_DIR = "/tmp/ray"  # noqa: S108 - where Ray's own tools look for the cluster of this machine

_DEFAULT_PORTS = {"gcs_port": 6379, "client_port": 10001, "dashboard_port": 8265}
# A port that is found free here is bound seconds later, so this range is nobody else's: Linux hands out 32768-60999 by
# itself, Ray 10002-19999 (workers) and 23000-23999 (servers for its clients), `node_main` the rest (agents of nodes).
_PORT_RANGE = range(24000, 26000)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that people and clients know. `default`: they are Ray's own 6379, 10001 and 8265."""

    gcs_port: int
    client_port: int
    dashboard_port: int

    @property
    def default(self) -> bool:
        """Say whether these are the ports at which Ray's tools look when told nothing."""
        return asdict(self) == _DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate, key and the certificates of those who vouch for others are: paths."""

    certificate: str
    key: str
    authority: str


@dataclass(frozen=True, slots=True)
class RaySettings:
    """How one cluster's Ray is reached and tuned.

    `folder` is the cluster's own folder on the head's machine (token file, boot template, GCS tables);
    `host` the head's address; `dashboard_host` where its dashboard listens (this machine only, by default);
    `temp_dir` the head's temporary directory ("" = the machine's own).
    `pull_period_ms`: how often the GCS asks the nodes what waits, so the bound of how late demand is seen.
    `object_store_bytes`: size of a node's object store where its pool does not say.
    `own_addresses`: each node gets a loopback address of its own; only where all nodes are on one Linux machine.
    `persistent`: the GCS keeps its tables on disk and survives its own death (where Ray can do that).
    `tls`: the files by which this machine speaks TLS with the cluster; None: as Ray's own variables say, if at all.
    `token_file`: where somebody else keeps the token, and changes it now and then; "": it is our own.
    """

    cluster: str
    folder: str
    host: str
    ports: Ports
    dashboard_host: str = "127.0.0.1"
    temp_dir: str = ""
    python: str = sys.executable
    pull_period_ms: int = 50
    object_store_bytes: int = 200_000_000
    own_addresses: bool = False
    max_shapes_per_report: int = 5000
    persistent: bool = True
    token_auth: bool = True
    tls: TlsFiles | None = None
    token_file: str = ""

    @property
    def gcs_address(self) -> str:
        """Return host:port of the GCS."""
        return f"{self.host}:{self.ports.gcs_port}"

    @property
    def client_address(self) -> str:
        """Return the address for Ray Client drivers."""
        return f"ray://{self.host}:{self.ports.client_port}"

    @property
    def dashboard_url(self) -> str:
        """Return the address of Ray's dashboard, jobs API included."""
        return f"http://{self.dashboard_host}:{self.ports.dashboard_port}"

    @property
    def token_path(self) -> Path:
        """Return the file that holds the cluster's token."""
        return Path(self.token_file) if self.token_file else Path(self.folder) / TOKEN_FILE_NAME

    @property
    def head_path(self) -> Path:
        """Return the file in which a started head tells what others need to join it."""
        return Path(self.folder) / "head.json"

    def token(self) -> str:
        """Return the cluster's token, "" without authentication. OSError when its file cannot be read."""
        return self.token_path.read_text(encoding="utf-8").strip() if self.token_auth else ""

    def save(self) -> None:
        """Write the settings and, the first time, a fresh token into the cluster's folder, for the user alone."""
        folder = Path(self.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.token_auth and not self.token_file and not self.token_path.exists():
            _write_private(self.token_path, secrets.token_hex(32))
        _write_private(folder / FILE_NAME, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; FileNotFoundError when there is nothing. Keys of a newer version are ignored."""
        stored = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        stored["ports"] = Ports(**stored["ports"])
        stored["tls"] = TlsFiles(**stored["tls"]) if stored.get("tls") else None
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in stored.items() if key in known})


def new_settings(cluster: str, folder: Path, *, preferred_default: bool = True) -> RaySettings:
    """Return settings of a new cluster on this machine, with ports that are free now.

    The cluster that gets Ray's default ports also gets Ray's default temporary directory, so that
    `/tmp/ray/session_latest` and a bare `ray.init()` find it.
    """
    ports = choose_ports(preferred_default=preferred_default)
    return RaySettings(
        cluster=cluster,
        folder=str(folder),
        host=own_address(),
        ports=ports,
        own_addresses=sys.platform == "linux",
        temp_dir=DEFAULT_TEMP_DIR if ports.default and _may_use(Path(DEFAULT_TEMP_DIR)) else "",
    )


def choose_ports(*, preferred_default: bool) -> Ports:
    """Return Ray's default ports when wanted and all free, else three free ones."""
    if preferred_default and all(is_free(port) for port in _DEFAULT_PORTS.values()):
        return Ports(**_DEFAULT_PORTS)
    gcs, client, dashboard = free_ports(3, taken=_DEFAULT_PORTS.values())
    return Ports(gcs, client, dashboard)


def free_ports(count: int, taken: Iterable[int] = ()) -> list[int]:
    """Return `count` different ports that are free now, outside the range that the kernel hands out."""
    found: list[int] = []
    refused = set(taken)
    while len(found) < count:
        port = secrets.choice(_PORT_RANGE)
        if port not in refused and is_free(port):
            found.append(port)
        refused.add(port)
    return found


def is_free(port: int) -> bool:
    """Say whether nobody listens at `port` on any address of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def own_address() -> str:
    """Return the address that Ray gives this machine: the source of its default route, else 127.0.0.1.

    Nothing is sent: connecting a datagram socket only looks up the route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is nobody's (RFC 5737)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _may_use(folder: Path) -> bool:
    """Say whether Ray can write there; another user's /tmp/ray is left alone."""
    return os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK)


def _write_private(path: Path, text: str) -> None:
    """Replace the file in one step, so that nobody ever reads half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")  # two processes may be at it
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
