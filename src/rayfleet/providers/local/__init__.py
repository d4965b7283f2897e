"""Provider `local`: hosts of one's own, reached over SSH. They are leased and given back, never made.

    settings, or a coordinator's pool -> Hosts -> look at them -> choose (pure) -> take a lease
                                                                -> machines of the listing

A lease is a file on the host. It is taken in one step, so that of two clusters only one gets the host, whoever knows of
whom. What runs there is ended by the cluster's mark when the lease ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rayfleet.contracts import SET_UP_TIMEOUT_S, Denied, HostCheck, Login, Provider, ProviderContext, ProviderKind
from rayfleet.providers.local.settings import Settings
from rayfleet.wire.ssh.session import Ssh, SshError

if TYPE_CHECKING:
    from rayfleet.providers.local.hosts import Hosts


def _build(context: ProviderContext) -> Provider:
    from rayfleet.providers.local.provider import LocalProvider
    from rayfleet.wire.ssh.opening import open_ssh

    try:
        return LocalProvider(context, open_ssh(), _hosts(context))
    except SshError as error:
        raise Denied(str(error)) from error


def _hosts(context: ProviderContext) -> Hosts | None:
    """Return the pool of the coordinator that the file names; None: the file names the hosts."""
    settings: Settings = context.settings
    if settings.coordinator_address is None:
        return None
    from rayfleet.providers.local.pooled import PooledHosts
    from rayfleet.wire.coordinator.client import HttpCoordinator

    token = coordinator_token(settings.coordinator_token_file)
    return PooledHosts(context.cluster, HttpCoordinator(settings.coordinator_address, token, time.time))


def coordinator_token(file: str | None) -> str:
    """Return what a coordinator is shown: what the file has, else the environment's; "" when there is none.

    Raises:
        Denied: the file cannot be read.
    """
    from rayfleet.wire.coordinator.client import token_in
    from rayfleet.wire.coordinator.terms import TOKEN_VARIABLE

    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        return token_in(file)
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(f"provider.coordinator_token_file cannot be read: {error}") from error


def _own_login(settings: Settings, login: Login, address: str) -> Login:
    """Return how a host is logged in to: the file may give each a user and a port of its own."""
    for host in settings.all_hosts():
        if host.address == address:
            return replace(login, user=host.ssh_user or login.user, port=host.ssh_port or login.port)
    return login


async def _preflight(context: ProviderContext, ssh: Ssh, tell: Callable[[HostCheck], None]) -> tuple[HostCheck, ...]:
    from rayfleet.providers.local.everywhere import preflight
    from rayfleet.providers.local.hosts import OwnHosts

    source = _hosts(context) or OwnHosts(context.settings)
    try:
        return await preflight(context, ssh, tell, await source.all())
    finally:
        await source.close()


def _passed_over(folder: Path) -> Mapping[str, str]:
    from rayfleet.providers.local.memory import HOSTS_FILE, Memory

    return Memory.load(folder / HOSTS_FILE).refused


PROVIDER = ProviderKind(
    name="local",
    settings=Settings,
    build=_build,
    boot_timeout_s=SET_UP_TIMEOUT_S,
    remote=True,
    keeps_hosts=True,
    own_login=_own_login,
    preflight=_preflight,
    passed_over=_passed_over,
)

__all__ = ["PROVIDER", "Settings"]
