"""Every host of a file before a cluster takes it, all at once: for people. Nothing is changed on a host.

A cluster's Python and Ray are those of its head, so the others are compared with that, whatever this computer has.
Where no head is named, nobody knows yet which host it will be: all are compared with this computer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from rayfleet.contracts import HostCheck, HostFinding, ProviderContext
from rayfleet.providers.local import lease as leases
from rayfleet.providers.local.checking import Probed, expected_of, probe
from rayfleet.providers.local.logins import Logins
from rayfleet.providers.local.preflight import GIB, Expected, Facts, judge
from rayfleet.providers.local.settings import HostForm, Settings
from rayfleet.wire.ssh.session import Ssh


async def preflight(
    context: ProviderContext, ssh: Ssh, tell: Callable[[HostCheck], None], hosts: tuple[HostForm, ...]
) -> tuple[HostCheck, ...]:
    """Return what there is to say about every host that a cluster may take, in their order.

    The head's ports are looked at on the host that is named for it.
    """
    settings: Settings = context.settings
    logins = Logins(ssh, context.login, settings, context.state_dir / "known_hosts")
    probes = {host.address: asyncio.ensure_future(probe(logins, host)) for host in hosts}
    named = next((host for host in hosts if host.head), None)

    async def one(host: HostForm) -> HostCheck:
        found = await probes[host.address]
        like = await probes[named.address] if named else None
        checked = _judged(host, found, like, context)
        tell(checked)
        return checked

    try:
        return tuple(await asyncio.gather(*map(one, hosts)))
    finally:
        for each in probes.values():
            each.cancel()
        await logins.close()


def _judged(host: HostForm, found: Probed, head: Probed | None, context: ProviderContext) -> HostCheck:
    if found.facts is None:
        trouble = found.trouble
        return HostCheck(host.address, host.head, {}, _as_told([(trouble.what, trouble.text, True)] if trouble else []))
    lease = leases.parse(found.facts.lease)
    ours = lease is not None and lease.cluster == context.cluster
    expected = _expected(context.settings, found, head, wants_ports=host.head and not ours)
    judged = [(each.what, each.text, each.fatal) for each in judge(found.facts, expected)]
    if found.facts.lease and not ours:
        shared = context.settings.coordinator_address is not None  # where that is how it should be
        judged.insert(0, ("lease", f"is held by {leases.holder(found.facts.lease)}", not shared))
    facts = dict(_facts(found.facts, found, ours=ours))
    return HostCheck(host.address, host.head, facts, _as_told(judged))


def _expected(settings: Settings, found: Probed, head: Probed | None, *, wants_ports: bool) -> Expected:
    expected = expected_of(settings, found.asked_at, found.answered_at, head=wants_ports)
    if head is not None and head.facts is not None:
        expected = replace(expected, python=head.facts.python, ray=head.facts.ray)
    return expected


def _as_told(judged: list[tuple[str, str, bool]]) -> tuple[HostFinding, ...]:
    return tuple(HostFinding(what, text, fatal) for what, text, fatal in judged)


def _facts(facts: Facts, found: Probed, *, ours: bool) -> Iterator[tuple[str, str]]:
    skew_s = max(found.asked_at - facts.now, facts.now - found.answered_at, 0.0)
    yield "python", facts.python or "none"
    yield "ray", facts.ray or "none"
    yield "clock", f"off by {skew_s:.1f} s" if skew_s >= 0.1 else "right"  # noqa: PLR2004 - as is printed
    yield "cpus", str(facts.cpus)
    yield "memory", f"{facts.memory_bytes / GIB:.1f} GiB"
    yield "disk", _disk(facts)
    yield "sudo", "yes" if facts.sudo else "no"
    yield "lease", "this cluster's" if ours else "free" if not facts.lease else leases.holder(facts.lease)


def _disk(facts: Facts) -> str:
    return ", ".join(f"{free / GIB:.1f} GiB free in {folder}" for folder, free in facts.disk_free_bytes)
