"""One open session per host, opened again when it broke; and what SSH says, in words of the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rayfleet.contracts import Denied, Flaky, Login, ProviderError
from rayfleet.providers.local.settings import HostForm, Settings
from rayfleet.wire.ssh import known_hosts
from rayfleet.wire.ssh.session import HostKeyChanged, LoginRefused, Ran, Session, Ssh, SshError, Target, Unreachable

AT_ONCE: Final = 64
ANSWER_S: Final = 30.0


def as_provider_error(error: SshError) -> ProviderError:
    """Return what the caller should do about it: ask again, or tell the user."""
    return Denied(str(error)) if isinstance(error, (LoginRefused, HostKeyChanged)) else Flaky(str(error))


class Logins:
    """Asks hosts, many at once."""

    def __init__(self, ssh: Ssh, login: Login, settings: Settings, own_known_hosts: Path) -> None:
        """Take how to log in; `own_known_hosts` is used unless the settings want the user's."""
        self._ssh = ssh
        self._login = login
        self._settings = settings
        self._known_hosts = None if settings.host_keys == "known" else own_known_hosts
        self._sessions: dict[str, Session] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def target(self, host: HostForm) -> Target:
        """Return how a host is reached."""
        external = None if self._login.use_internal else host.external_address
        login = Login(
            user=host.ssh_user or self._login.user,
            private_key=self._login.private_key,
            public_key=self._login.public_key,
            port=host.ssh_port or self._login.port,
            proxy_command=self._login.proxy_command,
            proxy_with_id=self._login.proxy_with_id,
            use_internal=self._login.use_internal,
        )
        return Target(external or host.address, login, host.address, self._known_hosts)

    async def ask(
        self, host: HostForm, script: str, env: Mapping[str, str] | None = None, timeout_s: float = ANSWER_S
    ) -> Ran:
        """Run a script on a host. A session that turns out to be broken is opened again, once. Raises SshError."""
        kept = self._sessions.get(host.address)
        if kept is not None:
            try:
                return await kept.run(script, env=env, timeout_s=timeout_s)
            except Unreachable:
                await self._drop(host, kept)
        session = await self._opened(host)
        try:
            return await session.run(script, env=env, timeout_s=timeout_s)
        except Unreachable:
            await self._drop(host, session)
            raise

    async def close(self) -> None:
        """Log out everywhere."""
        sessions, self._sessions = self._sessions, {}
        await asyncio.gather(*(session.close() for session in sessions.values()))

    async def _connect(self, host: HostForm) -> Session:
        target, patience_s = self.target(host), self._settings.connect_timeout_s
        try:
            return await self._ssh.connect(target, patience_s)
        except HostKeyChanged:
            if self._settings.host_keys != "any":
                raise
            known_hosts.forget(target)
            return await self._ssh.connect(target, patience_s)

    async def _opened(self, host: HostForm) -> Session:
        async with self._room, self._locks.setdefault(host.address, asyncio.Lock()):
            if host.address not in self._sessions:
                self._sessions[host.address] = await self._connect(host)
            return self._sessions[host.address]

    async def _drop(self, host: HostForm, session: Session) -> None:
        if self._sessions.get(host.address) is session:
            del self._sessions[host.address]
        await session.close()
