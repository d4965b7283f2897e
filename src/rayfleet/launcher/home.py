"""Where a cluster's own files are: one private folder per cluster, on the machine that controls it.

$XDG_STATE_HOME/rayfleet/clusters/NAME/   (XDG_STATE_HOME: ~/.local/state unless set)
    cluster.yaml      the configuration, as given
    ray.json          the addresses and ports that this cluster's Ray was given
    ray-token         what every client of it has to show
    ledger.sqlite     claims, back-offs, orders
    history.sqlite    what happened, and why
    alerts.json       what is wrong, since when, and who was told (alerts-check.json: by `rayfleet alerts check`)
    controller.json   who controls it (see `lease`); there for as long as the cluster is up
    controller.lock   locked by that process
    metrics.json      where the controller offers its figures
    prometheus.yml    how Prometheus finds them
    suspended.json    of a cluster that is suspended: since when, or how far that is (see `suspension`)
    remote.json       of a cluster elsewhere: where its head is; the controller then runs there, with a folder like this
    ssh-key           of a cluster elsewhere: the key that was made for it, where its file names none
    alert-secret-N    on a head elsewhere: what its file names as env: or file:, as it was where `up` was run
    known_hosts       of a cluster elsewhere: the keys that its machines have shown
    logs/             what the controller has to say
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from rayfleet.launcher.errors import LauncherError, UnknownCluster, did_you_mean

DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CONFIG_ENDINGS = (".yaml", ".yml")
_ALERT_SECRET = re.compile(r"alert-secret-[0-9]+")
_PRIVATE_DIR = 0o700
_PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one cluster; its name is the cluster's."""

    path: Path

    @property
    def name(self) -> str:
        """Return the cluster's name."""
        return self.path.name

    @property
    def config(self) -> Path:
        """Return the file of the configuration as given."""
        return self.path / "cluster.yaml"

    @property
    def settings(self) -> Path:
        """Return the file of the addresses and ports that this cluster's Ray uses."""
        return self.path / "ray.json"

    @property
    def ledger(self) -> Path:
        """Return the file of claims, back-offs and orders."""
        return self.path / "ledger.sqlite"

    @property
    def history(self) -> Path:
        """Return the file of tick reports."""
        return self.path / "history.sqlite"

    @property
    def alerts(self) -> Path:
        """Return the file of what is wrong, as the controller has told people."""
        return self.path / "alerts.json"

    @property
    def alerts_check(self) -> Path:
        """Return the file of what people were told about the controller itself."""
        return self.path / "alerts-check.json"

    @property
    def controller(self) -> Path:
        """Return the file that says who controls the cluster."""
        return self.path / "controller.json"

    @property
    def lock(self) -> Path:
        """Return the file that the controlling process has locked."""
        return self.path / "controller.lock"

    @property
    def logs(self) -> Path:
        """Return the folder of the controller's logs."""
        return self.path / "logs"

    @property
    def remote(self) -> Path:
        """Return the file that says where the head of a cluster elsewhere is."""
        return self.path / "remote.json"

    @property
    def metrics(self) -> Path:
        """Return the file that says where the controller offers its figures."""
        return self.path / "metrics.json"

    @property
    def scrape(self) -> Path:
        """Return the file of the scrape configuration."""
        return self.path / "prometheus.yml"

    @property
    def suspended(self) -> Path:
        """Return the file that says since when the cluster is suspended."""
        return self.path / "suspended.json"

    @property
    def is_suspended(self) -> bool:
        """Say whether the cluster is suspended, or half way there or back."""
        return self.suspended.exists()

    @property
    def is_up(self) -> bool:
        """Say whether the cluster was started and not ended; its controller may be dead all the same."""
        return self.controller.exists() or self.remote.exists()

    @property
    def is_elsewhere(self) -> bool:
        """Say whether it is up, on other computers: its controller, Ray and records are on its head."""
        return self.remote.exists()

    def write(self, path: Path, text: str) -> None:
        """Write one of its files whole or not at all, readable by the user only."""
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, _PRIVATE_FILE), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def forget_ledger(self) -> None:
        """Remove claims, back-offs and orders; nobody may have them open."""
        for ending in ("", "-wal", "-shm"):
            self.ledger.with_name(self.ledger.name + ending).unlink(missing_ok=True)

    def forget_alert_secrets(self, named_in: str = "") -> None:
        """Remove what alerts needed and the configuration `named_in` does not name any more."""
        kept = set(_ALERT_SECRET.findall(named_in))
        for path in self.path.glob("alert-secret-*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def forget_ray(self) -> None:
        """Remove what only a running cluster needs, secrets first; configuration, history and logs stay.

        The note of who controls it goes last: until then the cluster is not down.
        """
        files = ("ray-token", "ray.json", "head.json", "remote.json", "metrics.json", "prometheus.yml")
        for name in (*files, "alerts.json", "alerts-check.json"):
            (self.path / name).unlink(missing_ok=True)
        self.forget_alert_secrets()
        shutil.rmtree(self.path / "gcs", ignore_errors=True)
        self.controller.unlink(missing_ok=True)


def is_config(word: str) -> bool:
    """Say whether `word` names a configuration file (it may not exist), not a cluster."""
    return word.endswith(_CONFIG_ENDINGS)


def root() -> Path:
    """Return the folder of all clusters of this user; it may not exist yet."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    # The XDG rules say that a relative path is to be ignored.
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "rayfleet" / "clusters"


def known() -> tuple[Home, ...]:
    """Return every cluster that was ever started here and not removed, by name."""
    folder = root()
    if not folder.is_dir():
        return ()
    return tuple(Home(path) for path in sorted(folder.iterdir()) if (path / "cluster.yaml").exists())


def check_name(name: str) -> str:
    """Return `name` when it can be a cluster's.

    Raises:
        LauncherError: it is not letters, digits, dots, dashes and underscores, or too long.
    """
    if not _NAME.fullmatch(name):
        raise LauncherError(
            f"{name!r} cannot be the name of a cluster",
            "use letters, digits, '.', '-' and '_', at most 63, the first one a letter or digit",
        )
    return name


def find(name: str) -> Home:
    """Return the known cluster of that name.

    Raises:
        UnknownCluster: there is none; the hint names those that are.
    """
    home = Home(root() / name)
    # A path is no name: it would lead out of our folder, and `down --forget` would remove whatever is there.
    if not _NAME.fullmatch(name) or not home.config.exists():
        names = [each.name for each in known()]
        hint = did_you_mean(name, names) or "none was started here yet: rayfleet up"
        raise UnknownCluster(f"no cluster is called {name!r} on this machine", hint)
    return home


def create(name: str) -> Home:
    """Make (or find) the folder of a cluster, private to the user.

    Raises:
        LauncherError: the name cannot be one, or the folder cannot be made.
    """
    home = Home(root() / check_name(name))
    try:
        home.logs.mkdir(parents=True, exist_ok=True)
        for folder in (home.path, home.logs):
            folder.chmod(_PRIVATE_DIR)
    except OSError as error:
        hint = "set XDG_STATE_HOME to a folder that you may write to"
        raise LauncherError(f"the cluster's folder {home.path} cannot be made: {error}", hint) from error
    return home


def remove(home: Home) -> None:
    """Remove a cluster's folder with its history and logs.

    Raises:
        LauncherError: the cluster is up.
    """
    if home.is_up:
        raise LauncherError(f"cluster {home.name} is up", f"rayfleet down {home.name}")
    shutil.rmtree(home.path)
