"""Asks a host whether it is fit for use, and judges what it answers."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, replace
from importlib import metadata

from rayfleet.providers.local.logins import Logins
from rayfleet.providers.local.preflight import GIB, Expected, Facts, Finding, judge, read
from rayfleet.providers.local.scripts import BRIEF_PROBE, PROBE
from rayfleet.providers.local.settings import HostForm, Settings
from rayfleet.wire.ssh.session import SshError


@dataclass(frozen=True, slots=True)
class Checked:
    """One host: what it says of itself (None: nothing), and what is not as it should be."""

    host: HostForm
    facts: Facts | None
    findings: tuple[Finding, ...]
    error: SshError | None = None

    @property
    def usable(self) -> bool:
        """Say whether it can be taken."""
        return self.facts is not None and not any(finding.fatal for finding in self.findings)

    @property
    def why_not(self) -> str:
        """Return what makes it unusable, in words for the user."""
        return f"{self.host.address}: " + "; ".join(finding.text for finding in self.findings if finding.fatal)


@dataclass(frozen=True, slots=True)
class Probed:
    """What a host has answered: its facts, or why there are none. `asked_at`, `answered_at`: by our clock."""

    facts: Facts | None
    asked_at: float
    answered_at: float
    trouble: Finding | None = None
    error: SshError | None = None


async def probe(logins: Logins, host: HostForm, script: str = PROBE) -> Probed:
    """Ask one host how it is."""
    asked_at = time.time()
    try:
        ran = await logins.ask(host, script)
    except SshError as error:
        return Probed(None, asked_at, time.time(), Finding("reachable", str(error), fatal=True), error)
    facts = read(ran.lines)
    if facts is None:
        text = f"does not answer as a Linux host does: {' '.join(ran.lines[-3:])}"
        return Probed(None, asked_at, time.time(), Finding("probe", text, fatal=True))
    return Probed(facts, asked_at, time.time())


async def check(logins: Logins, host: HostForm, settings: Settings, *, head: bool) -> Checked:
    """Probe one host and judge whether it can be taken; one that does not answer cannot.

    It is only asked for its versions where they decide about that.
    """
    versions = settings.preflight.python or settings.preflight.ray
    found = await probe(logins, host, PROBE if versions else BRIEF_PROBE)
    if found.facts is None:
        return Checked(host, None, (found.trouble,) if found.trouble else (), found.error)
    expected = expected_of(settings, found.asked_at, found.answered_at, head=head)
    return Checked(host, found.facts, judge(found.facts, expected))


def expected_of(settings: Settings, asked_at: float, answered_at: float, *, head: bool) -> Expected:
    """Return what this controller's own Python and Ray, and the settings, demand of a host."""
    wanted = settings.preflight
    expected = Expected(
        asked_at,
        answered_at,
        python=platform.python_version(),
        ray=_own_ray(),
        python_needed=wanted.python,
        ray_needed=wanted.ray,
        sudo_needed=wanted.sudo,
        clock_skew_max_s=wanted.clock_skew_max_s,
        disk_free_min_bytes=int(wanted.disk_free_min_gib * GIB),
    )
    return replace(expected, ports=wanted.head_ports) if head else expected


def _own_ray() -> str:
    try:
        return metadata.version("ray")
    except metadata.PackageNotFoundError:
        return ""
