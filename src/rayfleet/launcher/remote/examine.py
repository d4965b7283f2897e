"""`rayfleet doctor CLUSTER`: would a cluster elsewhere come up? Looked at from this machine; nothing is changed.

    the key that logs in -> the place's clients -> the head, where there is one -> every host of one's own, all at once

Nothing is asked of a cloud: what an account may do there, its own answers to `up` say best.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rayfleet import wiring
from rayfleet.contracts import HostCheck, Login, ProviderContext, ProviderError, ProviderKind, StartScript
from rayfleet.launcher import home as homes
from rayfleet.launcher import suspension
from rayfleet.launcher.doctor import Finding, State
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote import install
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.controlling import log_in
from rayfleet.launcher.remote.up import at_hand
from rayfleet.launcher.remote.where import Where
from rayfleet.launcher.spec import Wanted
from rayfleet.wire.ssh.session import Ssh, SshError

Told = Callable[[Finding], None]
_WORDS: Final = ("python", "ray", "cpus", "memory")


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found about a cluster elsewhere. `hosts`: of one's own only."""

    cluster: str
    findings: tuple[Finding, ...]
    hosts: tuple[HostCheck, ...]

    @property
    def ok(self) -> bool:
        """Say whether nothing stands in the way."""
        return all(finding.state is not State.BAD for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        findings = [finding.as_json() for finding in self.findings]
        hosts = [host.as_json() for host in self.hosts]
        return {"ok": self.ok, "cluster": self.cluster, "findings": findings, "hosts": hosts}


async def examine(wanted: Wanted, tell: Told, ssh: Ssh | None = None) -> Examined:
    """Look at everything; each finding is told as soon as it is there.

    Raises:
        SshError: no SSH is installed.
    """
    home = homes.Home(homes.root() / wanted.name)
    found: list[Finding] = []

    def note(finding: Finding) -> None:
        found.append(finding)
        tell(finding)

    kind, login = wiring.registry()[wanted.spec.provider], wiring.login(wanted.spec)
    for finding in (*_key(login, kind), *_clients(kind)):
        note(finding)
    hosts: tuple[HostCheck, ...] = ()
    async with at_hand(ssh) as open_:
        for finding in await _head(home, open_):
            note(finding)
        if kind.preflight is not None:
            with _looking(wanted, home) as context:
                try:
                    hosts = await kind.preflight(context, open_, lambda host: note(finding_of(host)))
                except ProviderError as error:  # whoever gives the hosts out does not
                    note(Finding("hosts", State.BAD, str(error), "provider says where they come from"))
    return Examined(wanted.name, tuple(found), hosts)


def _key(login: Login, kind: ProviderKind) -> Iterator[Finding]:
    what = "SSH key"
    if not login.private_key:
        whose = "your own keys, agent and ssh_config decide" if kind.keeps_hosts else "up makes one for the cluster"
        yield Finding(what, State.OK, f"auth.ssh_private_key names none: {whose}")
        return
    try:
        Path(login.private_key).read_bytes()
    except OSError as error:
        yield Finding(what, State.BAD, f"{login.private_key} cannot be read: {error.strerror}", "auth names it")
    else:
        yield Finding(what, State.OK, login.private_key)


def _clients(kind: ProviderKind) -> Iterator[Finding]:
    """The packages by which the place is spoken with."""
    extra, modules = install.clients(kind.name)
    missing = [module for module in modules if not _is_installed(module)]
    what = f"provider {kind.name}"
    if missing:
        text = f"needs {', '.join(missing)}, which is not installed"
        yield Finding(what, State.BAD, text, f'pip install "rayfleet[{extra}]"')
    else:
        yield Finding(what, State.OK, f"{', '.join(modules)} is installed")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a part: not even the whole is there
        return False


async def _head(home: Home, ssh: Ssh) -> tuple[Finding, ...]:
    """The head of a cluster that is up; of one that is suspended nobody expects an answer."""
    noted = suspension.load(home)
    if noted is not None:
        return (Finding("head", State.NOTE, f"the cluster is {noted.text}", f"rayfleet resume {home.name}"),)
    try:
        where = notes.load(home)
    except LauncherError as error:
        return (Finding("head", State.BAD, str(error), f"rayfleet up {home.name} writes it anew"),)
    if where is None or not where.address:
        return ()
    return (await _reached(where, ssh, home),)


async def _reached(where: Where, ssh: Ssh, home: Home) -> Finding:
    what = f"head {where.machine}"
    try:
        session = await log_in(ssh, where, tries=1)
        await session.close()
    except SshError as error:
        hint = f"rayfleet up {home.name} looks after it; rayfleet down {home.name} ends the cluster without it"
        return Finding(what, State.BAD, str(error), hint)
    return Finding(what, State.OK, f"lets us in at {where.address}")


@contextmanager
def _looking(wanted: Wanted, home: Home) -> Iterator[ProviderContext]:
    """Give what the provider would be built from, in a folder that goes again.

    Host keys are compared with those that the cluster knows; new ones are not kept.
    """
    with tempfile.TemporaryDirectory(prefix="rayfleet-doctor-") as folder:
        known = home.path / wiring.KNOWN_HOSTS_FILE
        if known.exists():
            shutil.copy(known, folder)
        yield ProviderContext(
            cluster=wanted.name,
            state_dir=Path(folder),
            settings=wanted.spec.provider_settings,
            start_script=lambda _pool, _head: StartScript(()),
            login=wiring.login(wanted.spec),
        )


def finding_of(host: HostCheck) -> Finding:
    """Return what is to be printed about a host."""
    what = f"host {host.address}{' (head)' if host.head else ''}"
    said = "; ".join(finding.text for finding in host.findings)
    has = _has(host.facts)
    if not host.usable:
        return Finding(what, State.BAD, said, has)
    state = State.NOTE if host.findings else State.OK
    return Finding(what, state, has, said)


def _has(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    python, ray, cpus, memory = (facts.get(word, "?") for word in _WORDS)
    first = f"Python {python}, Ray {ray}, {cpus} CPUs, {memory}, {facts.get('disk', '?')}"
    return f"{first}; clock {facts.get('clock', '?')}; sudo: {facts.get('sudo', '?')}; lease: {facts.get('lease', '?')}"
