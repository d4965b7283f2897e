"""Who logs in to a cluster's machines: what its file says, else a key that is made for this cluster alone."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rayfleet import wiring
from rayfleet.config import ClusterSpec
from rayfleet.contracts import Login
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home

KEY: Final = "ssh-key"
PUBLIC: Final = f"{KEY}.pub"
POOL_TOKEN: Final = "coordinator-token"  # noqa: S105 - the name of a file
"""The file of the head that has the token of the pool which its hosts come from."""


def login_of(spec: ClusterSpec, home: Home) -> Login:
    """Return the login of the cluster's machines; makes the cluster's own key where the file names none.

    Hosts that are not made for us cannot know a new key: there the user's own keys, agent and ssh_config decide.

    Raises:
        LauncherError: the key that the file names cannot be read, or none can be made.
    """
    login = wiring.login(spec)
    if login.private_key:
        private = Path(login.private_key).absolute()
        named = spec.bootstrap.auth.get("ssh_public_key")
        return replace(login, private_key=str(private), public_key=_public_of(private, named))
    if wiring.registry()[spec.provider].keeps_hosts:
        return login
    private = home.path / KEY
    if not private.exists():
        home.write(private.with_suffix(".pub"), _make(home, private))
    return replace(login, private_key=str(private), public_key=_public_of(private, None))


def _make(home: Home, private: Path) -> str:
    """Write a new key, which is complete as soon as it is there; return its public half."""
    asyncssh = _asyncssh()
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"rayfleet {home.name}")
    home.write(private, key.export_private_key().decode())
    return str(key.export_public_key().decode())


def _public_of(private: Path, named: object) -> str:
    """Return the public half of a key, from the file beside it or from the key itself."""
    beside = Path(str(named)).expanduser() if named else private.with_name(private.name + ".pub")
    try:
        if beside.is_file():
            return beside.read_text(encoding="utf-8").strip()
        asyncssh = _asyncssh()
        return str(asyncssh.read_private_key(str(private)).export_public_key().decode()).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LauncherError(f"the key {private} cannot be read: {error}", "auth.ssh_private_key names it") from error
    except ValueError as error:  # asyncssh: a passphrase, or no key at all
        hint = f"write its public half beside it: ssh-keygen -y -f {private} > {private}.pub"
        raise LauncherError(f"the key {private} cannot be used: {error}", hint) from error


def _asyncssh() -> Any:
    """Return the SSH library, which only clusters elsewhere need."""
    try:
        return importlib.import_module("asyncssh")
    except ImportError:
        hint = 'pip install "rayfleet[ssh]"'
        raise LauncherError(
            "clusters on other computers are reached over SSH, and asyncssh is not here", hint
        ) from None
