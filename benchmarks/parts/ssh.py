"""50 hosts over SSH, each a real one of this machine with a server of its own: to the end of a set-up command on all.

First as a cluster of type `local` begins: every host is looked at, judged, leased, logged in to for its set-up, and
runs `true`. Then only login and command, beside 50 programs `ssh` that are started at once with the same keys; they
take turns. OpenSSH prefers a key exchange that withstands quantum computers and takes longer, where client and server
know it (sntrup761 in Debian 12); asyncssh has it with its optional parts only. So it is measured a second time with
the one that both use then, curve25519. Needs root and sshd.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Final

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured, of_pairs
from benchmarks.samples import alternate
from rayfleet.contracts import LaunchRequest, ProviderContext, StartScript
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.providers.local.provider import LocalProvider
from rayfleet.providers.local.settings import Settings
from rayfleet.testing.hosts import Hosts, needs
from rayfleet.wire.ssh.client import AsyncSsh
from rayfleet.wire.ssh.session import Target

HOSTS: Final = 50
DONE_S: Final = 10.0
COMMAND: Final = "true"
EXCHANGES: Final = {"its own choice": (), "curve25519": ("-o", "KexAlgorithms=curve25519-sha256")}
_PATIENCE_S: Final = 60.0


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    lacking = needs()
    if lacking:
        raise RuntimeError(f"hosts of one's own need {lacking}")
    samples: dict[str, list[float]] = {}
    with Hosts(HOSTS, folder / "hosts") as site:
        known = folder / "known_hosts"
        asyncio.run(_by_us(site, known))  # every host's key is known from here on, to both sides
        samples["from start to set up"] = [
            asyncio.run(_as_a_cluster(site, folder / f"cluster{turn}")) for turn in range(effort.pairs)
        ]
        for exchange, options in EXCHANGES.items():
            for pair in alternate(effort.pairs):
                for side in pair:
                    took_s = asyncio.run(_by_us(site, known)) if side == "ours" else _by_openssh(site, known, options)
                    samples.setdefault(f"{side}, {exchange}", []).append(took_s)
    return Measured(figures(samples), samples)


def figures(samples: dict[str, list[float]]) -> tuple[Figure, ...]:
    """Return the figures of the samples. Pure."""
    longest = max(samples["from start to set up"])
    compared = (
        of_pairs(
            f"{HOSTS} hosts: login and a command; ssh with {exchange}",
            samples[f"ours, {exchange}"],
            samples[f"theirs, {exchange}"],
            f"{HOSTS} x ssh",
        )
        for exchange in EXCHANGES
    )
    name = f"{HOSTS} hosts of type local: pre-flight, lease, set-up command: longest"
    return (Figure(name, "s", longest, goal=Goal(DONE_S)), *compared)


async def _as_a_cluster(site: Hosts, folder: Path) -> float:
    """Take all hosts, and run the command on each; give them back, which is not measured."""
    pool = Pool("p", Resources.of({CPU: 1}))
    settings = Settings(worker_ips=tuple(host.address for host in site.hosts), grace_s=1)
    context = ProviderContext("bench", folder, settings, lambda _pool, _head: StartScript(()), login=site.login)
    provider = LocalProvider(context, AsyncSsh())
    began = time.monotonic()
    claims = tuple(f"c{number}" for number in range(HOSTS))
    await provider.launch(LaunchRequest("b1", OfferKey(pool.name), pool, claims))
    machines = await provider.list()
    if len(machines) != HOSTS:
        raise RuntimeError(f"{len(machines)} of {HOSTS} hosts could be taken")
    await _all_by_us(site, folder / "known_hosts", [machine.address for machine in machines])
    took_s = time.monotonic() - began
    await provider.release(tuple(machine.id for machine in machines))
    await provider.close()
    return took_s


async def _by_us(site: Hosts, known: Path) -> float:
    began = time.monotonic()
    await _all_by_us(site, known, [host.address for host in site.hosts])
    return time.monotonic() - began


async def _all_by_us(site: Hosts, known: Path, addresses: list[str]) -> None:
    ssh = AsyncSsh()

    async def one(address: str) -> None:
        session = await ssh.connect(Target(address, site.login, known_hosts=known), _PATIENCE_S)
        ran = await session.run(COMMAND)
        await session.close()
        if ran.code:
            raise RuntimeError(f"{address}: {ran.text}")

    await asyncio.gather(*(one(address) for address in addresses))
    await ssh.close()


def _by_openssh(site: Hosts, known: Path, options: tuple[str, ...]) -> float:
    argv = [
        *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", *options),
        *("-o", "IdentitiesOnly=yes", "-i", site.login.private_key, "-l", site.login.user),
    ]
    began = time.monotonic()
    running = [
        subprocess.Popen([*argv, host.address, f"bash --login -c {COMMAND}"], stdin=subprocess.DEVNULL)
        for host in site.hosts
    ]
    codes = [process.wait() for process in running]
    took_s = time.monotonic() - began
    if any(codes):
        raise RuntimeError(f"ssh ended with {sorted(set(codes))}")
    return took_s
