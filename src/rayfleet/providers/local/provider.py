"""The calls of the contract over hosts that are leased. Decisions are in `choosing` and `preflight`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rayfleet.contracts import (
    Denied,
    Flaky,
    LaunchRequest,
    Machine,
    MachineState,
    OutOfStock,
    ProviderContext,
    ProviderError,
    SilentHost,
)
from rayfleet.providers.local import lease as leases
from rayfleet.providers.local.checking import Checked, check
from rayfleet.providers.local.choosing import fitting, places
from rayfleet.providers.local.hosts import Hosts, OwnHosts, Promised, Reserved
from rayfleet.providers.local.lease import Lease
from rayfleet.providers.local.logins import Logins, as_provider_error
from rayfleet.providers.local.memory import HOSTS_FILE, Memory, Seen
from rayfleet.providers.local.scripts import FREE, LOOK, RELEASE, TAKE, answers
from rayfleet.providers.local.settings import HostForm, Settings
from rayfleet.wire.ssh.opening import ClosableSsh
from rayfleet.wire.ssh.session import HostKeyChanged, LoginRefused, Ran, Ssh, SshError

_STEP_S: Final = 0.2
_KILLING_S: Final = 30.0
_FRESH_S: Final = 5.0
NEWS_S: Final = 0.5
"""So soon after hosts were taken or given back a listing is worth it: they are there at once, as no cloud's are."""
UNUSED_S: Final = 45.0
"""A host that is promised to us for so long, and that nobody is taking here, is not going to be taken."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What one host showed: the text of its lease ("": free) and its boot, or why nothing.

    `asked_at`: seconds since the epoch; what has been learnt since then is newer.
    """

    host: HostForm
    text: str = ""
    boot: str = ""
    error: SshError | None = None
    asked_at: float = field(default_factory=time.time)


class LocalProvider:
    """Hosts whose lease is this cluster's. Which hosts there are is for `Hosts` to say."""

    def __init__(self, context: ProviderContext, ssh: ClosableSsh, hosts: Hosts | None = None) -> None:
        """Take what the cluster is, and where its hosts come from: its file, if None. No host is asked yet."""
        self._settings: Settings = context.settings
        self._cluster = context.cluster
        self._ssh = ssh
        self._logins = Logins(ssh, context.login, self._settings, context.state_dir / "known_hosts")
        self._memory = Memory.load(context.state_dir / HOSTS_FILE)
        self._hosts: Hosts = hosts or OwnHosts(self._settings)
        self._listed: tuple[_Look, ...] = ()  # the last listing, and when it was had
        self._listed_at = -_FRESH_S
        self._news = False  # hosts were taken or given back, and nobody has listed them since
        self._changes = 0  # how often a host was to be taken or given back
        self._launching = asyncio.Lock()
        self._taking = ""  # the batch whose hosts are being taken right now
        self._silent: dict[str, float] = {}  # hosts that do not answer -> since when, as far as this process knows
        self._leaving: set[str] = set()  # addresses of hosts that are being given back right now

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "local"

    @property
    def ssh(self) -> Ssh:
        """Return what it logs in with: who sets its hosts up need not log in again."""
        return self._ssh

    @property
    def list_interval_s(self) -> float:
        """Return how often all hosts are looked at; soon, when hosts were taken or given back since the last time."""
        return min(self._settings.list_interval_s, NEWS_S) if self._news else self._settings.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Look at every host. One that does not answer is listed as it was, for a while.

        Raises:
            Flaky: none answers, so the fault is rather here; or nobody says which hosts there are.
            Denied: none lets us in.
        """
        changes, self._news = self._changes, False
        try:
            hosts = await self._ours()
        except ProviderError as error:  # nobody says whom to ask: no host has answered
            had = [address for address, seen in self._memory.seen.items() if seen.text]
            self._listed = tuple(_Look(HostForm(address=each), error=SshError(str(error))) for each in had)
            raise
        looks = await self._look_at(hosts)
        self._listed = looks
        self._listed_at = asyncio.get_running_loop().time() if changes == self._changes else -_FRESH_S
        errors = [look.error for look in looks if look.error and not isinstance(look.error, HostKeyChanged)]
        if errors and len(errors) == len(looks):
            kind = Denied if all(isinstance(error, LoginRefused) for error in errors) else Flaky
            raise kind(f"no host answers: {errors[0]}")
        self._remember(looks)
        machines = [machine for look in looks if (machine := self._machine(look)) is not None]
        left = await asyncio.gather(*(self._finish(look) for look in looks))
        if any(left):
            self._change()
        return tuple(sorted((each for each in machines if each.id not in left), key=lambda machine: machine.id))

    async def launch(self, request: LaunchRequest) -> None:
        """Take a lease for each claim and host that has none yet. What runs there is for others to start."""
        async with self._launching:
            candidates = fitting(await self._hosts.all(), request)
            if not candidates:
                raise Denied(f"no host of {self._hosts.place} fits pool {request.pool.name}", scope=request.offer)
            looks = await self._fresh_looks(await self._ours())
            self._change()
            self._remember(looks.values())
            missing = self._missing(request, looks.values())
            if missing:
                taken = {address for address, look in looks.items() if look.text}
                order = tuple(host for host in candidates if host.address not in taken)
                self._taking = request.batch
                try:
                    await self._take_all(request, missing, order, looks)
                finally:
                    self._taking = ""
                    self._news = True

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """End what runs there and drop the lease. A host that does not answer is released when it does again."""
        if not machine_ids:
            return
        self._change()
        self._memory.released.update(dict.fromkeys(machine_ids, True))
        self._memory.save()
        hosts = await self._ours()
        known = [(host, self._lease_of(host)) for host in hosts]
        if not set(machine_ids) <= {lease.id for _, lease in known if lease is not None}:
            self._remember(await self._look_at(hosts))
            known = [(host, self._lease_of(host)) for host in hosts]
        named = [(host, lease) for host, lease in known if lease is not None and lease.id in machine_ids]
        ended = await asyncio.gather(*(self._release(host, lease) for host, lease in named), return_exceptions=True)
        self._memory.save()
        self._news = True
        for failure in (each for each in ended if isinstance(each, BaseException)):
            raise failure

    def silent(self) -> tuple[SilentHost, ...]:
        """Return the hosts that did not answer the last listing, each with what it had of ours before."""
        away = [(look.host, look.error) for look in self._listed if look.error is not None]
        return tuple(self._silent_host(host, error) for host, error in away if not isinstance(error, HostKeyChanged))

    def _silent_host(self, host: HostForm, error: SshError) -> SilentHost:
        ours = self._lease_of(host) or self._hosts.promised(host.address)
        if ours is None:
            return SilentHost(host.address, str(error))
        return SilentHost(host.address, str(error), ours.id, ours.offer.pool, ours.head)

    def remembered(self) -> Mapping[str, Any]:
        """Return how each host was when it answered last, and when that was."""
        return self._memory.as_told()

    def learn(self, told: Mapping[str, Any]) -> None:
        """Take over what somebody else has seen later than we have."""
        self._memory.learn(told)
        self._memory.save()

    async def close(self) -> None:
        """Log out everywhere; hosts stay leased."""
        await self._logins.close()
        await self._ssh.close()
        await self._hosts.close()

    async def free(self, address: str) -> str:
        """Remove whatever lease is on a host, and return who held it, "" when nobody did. For people who know better.

        Raises:
            Flaky, Denied: the host cannot be reached, or the lease is another user's.
        """
        hosts = await self._hosts.all()
        host = next((host for host in hosts if host.address == address), HostForm(address=address))
        try:
            ran = await self._logins.ask(host, FREE)
        except SshError as error:
            raise as_provider_error(error) from error
        if ran.code:
            raise Denied(f"the lease of {address} cannot be removed: {ran.text}")
        held = answers(ran.lines).get("lease", [])
        return leases.holder(held[0]) if held else ""

    # ---- looking -------------------------------------------------------------------------------------------------

    async def _ours(self) -> tuple[HostForm, ...]:
        """Return the hosts that may have a lease of ours."""
        return await self._hosts.ours(tuple(address for address, seen in self._memory.seen.items() if seen.text))

    async def _look_at(self, hosts: Iterable[HostForm]) -> tuple[_Look, ...]:
        return tuple(await asyncio.gather(*(self._look(host) for host in hosts)))

    async def _fresh_looks(self, hosts: tuple[HostForm, ...]) -> dict[str, _Look]:
        """Look at hosts, by their addresses; those that a listing has just shown are as they were.

        A lease is taken in one step, so that whatever has changed since is met there.
        """
        fresh = asyncio.get_running_loop().time() - self._listed_at < _FRESH_S
        shown = {look.host.address: look for look in self._listed if fresh and look.error is None}
        asked = await self._look_at(host for host in hosts if host.address not in shown)
        found = shown | {look.host.address: look for look in asked}
        return {host.address: found[host.address] for host in hosts}

    def _change(self) -> None:
        """Look at hosts again before anything is decided: what is known of them is about to be wrong."""
        self._changes += 1
        self._listed_at = -_FRESH_S

    async def _look(self, host: HostForm) -> _Look:
        lease = self._lease_of(host)
        if lease is not None and host.address in self._leaving:  # ending what runs there takes its time
            return _Look(host, lease.to_text(), lease.boot)
        asked_at = time.time()
        try:
            ran = await self._logins.ask(host, LOOK, timeout_s=self._settings.connect_timeout_s)
        except SshError as error:
            return _Look(host, error=error, asked_at=asked_at)
        found = answers(ran.lines)
        if "boot" not in found:
            strange = SshError(f"{host.address} does not answer as a Linux host does: {ran.text}")
            return _Look(host, error=strange, asked_at=asked_at)
        return _Look(host, found.get("lease", [""])[0], found["boot"][0], asked_at=asked_at)

    def _remember(self, looks: Iterable[_Look]) -> None:
        """Keep our leases as they are now; of a host that does not answer, as they were."""
        seen, now = self._memory.seen, time.time()
        for look in looks:
            if look.error is not None:
                self._silent.setdefault(look.host.address, now)
            else:
                self._silent.pop(look.host.address, None)
                if look.host.address in seen and look.asked_at < seen[look.host.address].at:
                    continue  # taken, or given back, while the answers of others were waited for
                lease = leases.parse(look.text)
                ours = lease is not None and lease.cluster == self._cluster
                seen[look.host.address] = Seen(look.text if ours else "", look.asked_at)
                if lease is not None and ours:
                    self._memory.took(lease.batch, lease.place)
        self._memory.save()

    def _lease_of(self, host: HostForm) -> Lease | None:
        seen = self._memory.seen.get(host.address)
        return leases.parse(seen.text) if seen else None

    def _machine(self, look: _Look) -> Machine | None:
        """Return a host as a machine; None when it is not ours."""
        lease = self._lease_of(look.host)
        if lease is None:
            return self._unfinished(look)
        host, external = look.host, look.host.external_address or ""
        machine = Machine(
            lease.id,
            lease.offer,
            lease.batch,
            MachineState.RUNNING,
            lease.head,
            lease.since,
            host.address,
            public_address=external,
        )
        if lease.id in self._memory.released:
            machine = replace(machine, state=MachineState.STOPPING)
        if isinstance(look.error, HostKeyChanged):
            return replace(machine, state=MachineState.FAILED, message=str(look.error))
        if look.error is not None:
            away_s = time.time() - self._memory.seen[host.address].at
            message = f"{look.error} (for {away_s:.0f} s)"
            return replace(machine, message=message) if away_s <= self._settings.unreachable_timeout_s else None
        if look.boot != lease.boot and machine.state is MachineState.RUNNING:
            return replace(machine, state=MachineState.FAILED, message=f"{host.address} was restarted")
        return machine

    def _unfinished(self, look: _Look) -> Machine | None:
        """Return a machine that is still to be given back to whoever promised its host; None when there is none."""
        ours = self._hosts.promised(look.host.address)
        if ours is None or not self._is_over(ours):
            return None
        message = ""
        if look.error is not None:  # what is on it, only it can say
            away_s = time.time() - self._silent[look.host.address]
            if away_s > self._settings.unreachable_timeout_s:
                return None
            message = f"{look.error} (for {away_s:.0f} s)"
        return Machine(ours.id, ours.offer, ours.batch, MachineState.STOPPING, ours.head, ours.since, message=message)

    def _is_over(self, promised: Promised) -> bool:
        """Say whether nobody is going to take a host that is promised to us."""
        unused = promised.batch != self._taking and time.time() - promised.since >= UNUSED_S
        return unused or promised.id in self._memory.released

    # ---- taking --------------------------------------------------------------------------------------------------

    def _missing(self, request: LaunchRequest, looks: Iterable[_Look]) -> tuple[str, ...]:
        """Return the places of a request that were never taken."""
        listed = [leases.parse(look.text) for look in looks]
        taken = {each.place for each in listed if each and (each.cluster, each.batch) == (self._cluster, request.batch)}
        taken.update(self._memory.batches.get(request.batch, ()))
        return tuple(place for place in places(request) if place not in taken)

    async def _take_all(
        self, request: LaunchRequest, missing: tuple[str, ...], order: tuple[HostForm, ...], looks: Mapping[str, _Look]
    ) -> None:
        """Take as many hosts as are missing, others where one turns out to be bad or is taken by somebody else."""
        wanted, left, errors, made, why = missing, order, tuple[ProviderError, ...](), 0, ""
        while wanted and left:
            try:
                now, others = await self._hosts.reserve(request, len(wanted), left)
            except ProviderError as error:
                errors += (error,)
                break
            if not now:
                why = others
                break
            left = _without(left, now)
            tries = (self._try(request, place, each, looks) for place, each in zip(wanted, now, strict=False))
            results = await asyncio.gather(*tries)
            made += results.count(None)
            errors += tuple(error for error in results if error is not None)
            failed = tuple(place for place, error in zip(wanted, results, strict=False) if error is not None)
            wanted = failed + wanted[len(now) :]
        self._memory.save()
        self._change()
        if made or not wanted:
            return
        raise _refusal(request, errors, why)

    async def _try(
        self, request: LaunchRequest, place: str, reserved: Reserved, looks: Mapping[str, _Look]
    ) -> ProviderError | None:
        """Take one host; return why not, when it cannot be, and remember that for people."""
        why_not = await self._taken(request, place, reserved, looks)
        self._memory.refused.pop(reserved.host.address, None)
        if why_not is not None:
            self._memory.refused[reserved.host.address] = str(why_not)
        return why_not

    async def _taken(
        self, request: LaunchRequest, place: str, reserved: Reserved, looks: Mapping[str, _Look]
    ) -> ProviderError | None:
        """Take one host; return why not, when it cannot be, and let go of it."""
        host, look = reserved.host, looks.get(reserved.host.address)
        if look is not None and look.error is not None:  # it may have a lease of ours: promised until it answers
            return as_provider_error(look.error)
        checked = await check(self._logins, host, self._settings, head=request.head)
        if checked.facts is None or not checked.usable:
            return await self._let_go(reserved, _unusable(checked))
        lease = Lease(
            reserved.id,
            self._cluster,
            request.batch,
            place,
            request.offer,
            request.head,
            time.time(),
            checked.facts.boot,
        )
        try:
            ran = await self._logins.ask(host, TAKE, {"RF_LEASE": lease.to_text()})
        except SshError as error:  # whether it was taken is seen when it answers again
            return as_provider_error(error)
        found = answers(ran.lines)
        held = found.get("lease", [""])[0]
        if leases.parse(held) != lease:
            why = OutOfStock(f"{host.address} is held by {leases.holder(held)}") if held else Denied(ran.text)
            return await self._let_go(reserved, why)
        self._memory.seen[host.address] = Seen(held, time.time())
        self._memory.took(request.batch, place)
        return None

    async def _let_go(self, reserved: Reserved, why: ProviderError) -> ProviderError:
        with suppress(ProviderError):  # it is let go of in a later listing
            await self._hosts.drop(reserved.host.address, reserved.id, str(why))
        return why

    # ---- giving back ---------------------------------------------------------------------------------------------

    async def _finish(self, look: _Look) -> str | None:
        """Release a host whose machine was given back while it did not answer; return the machine when it is done."""
        lease, address = self._lease_of(look.host), look.host.address
        with suppress(ProviderError):  # the next listing tries again
            if lease is None:
                return await self._give_up(look)
            if lease.id in self._memory.released:
                return lease.id if await self._release(look.host, lease) else None
            if self._hosts.promised(address) is None:
                await self._hosts.confirm(address, lease)
        return None

    async def _give_up(self, look: _Look) -> str | None:
        """Let go of a host that is promised to us, answers, and has no lease of ours; return the machine."""
        ours = self._hosts.promised(look.host.address)
        if ours is None or look.error is not None or not self._is_over(ours):
            return None
        note = f"{look.host.address} is held by {leases.holder(look.text)}" if look.text else ""
        await self._hosts.drop(look.host.address, ours.id, note)
        return ours.id

    async def _release(self, host: HostForm, lease: Lease) -> bool:
        """End a machine; False: its host does not answer, and will be asked again, or that goes on already."""
        if host.address in self._leaving:
            return False
        steps = round(self._settings.grace_s / _STEP_S)
        env = {"RF_SIGN": lease.sign, "RF_CLUSTER": self._cluster, "RF_STEPS": str(steps)}
        ran: Ran | None = None
        self._leaving.add(host.address)
        try:
            ran = await self._logins.ask(host, RELEASE, env, timeout_s=self._settings.grace_s + _KILLING_S)
        except HostKeyChanged:
            pass  # another machine is there: ours is gone
        except SshError:
            return False
        finally:
            self._leaving.discard(host.address)
        if ran is not None and ran.code:
            raise Flaky(f"{host.address} could not be given back: {ran.text}")
        self._memory.seen[host.address] = Seen("", time.time())
        await self._hosts.drop(host.address, lease.id)
        return True


def _unusable(checked: Checked) -> ProviderError:
    if checked.error is not None:
        return as_provider_error(checked.error)
    return Denied(checked.why_not)


def _without(hosts: tuple[HostForm, ...], reserved: tuple[Reserved, ...]) -> tuple[HostForm, ...]:
    tried = {each.host.address for each in reserved}
    return tuple(host for host in hosts if host.address not in tried)


def _refusal(request: LaunchRequest, errors: tuple[ProviderError, ...], why: str) -> ProviderError:
    """Return why not one host could be had: the mildest of the reasons says what to do."""
    said = "; ".join([*map(str, errors), *([why] if why else [])]) or "all that fit are taken"
    kinds = [type(error) for error in errors] or [OutOfStock]
    kind = next(kind for kind in (OutOfStock, Flaky, Denied) if kind in kinds)
    return kind(f"no host is free for pool {request.pool.name}: {said}", scope=request.offer)
