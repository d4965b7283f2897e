"""One of several works, the others wait: whoever holds a Lease and renews it in time.

nobody holds it, or its time is over -> take it (the API server lets only one of us change it)
ours                                 -> renew, well before its time is over
renewing failed for too long         -> stop working before another may begin; then wait for the next turn
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final

import structlog

from rayfleet.wire.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import LEASE, Key, Object

log = structlog.get_logger()

LEASE_S: Final = 15.0
"""A holder that was not heard of for so long is gone."""
GIVE_UP_S: Final = 10.0
"""A holder that could not renew for so long stops: its own clock may be slower than another's."""
RENEW_S: Final = 3.0


class LeadershipLost(Exception):
    """Somebody else may be at work now."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants to hold which Lease. `now`: seconds since the epoch."""

    lease: Key
    identity: str
    now: Callable[[], float]


async def stand(kube: Kube, candidate: Candidate, work: Callable[[str], Awaitable[None]]) -> None:
    """Lead whenever the Lease can be had, until told to stop: losing it ends the work, not the candidacy."""
    for turn in count(1):
        try:
            # A Lease that was deleted meanwhile counts its holders from one again.
            await lead(kube, candidate, partial(_in_turn, work, turn))
        except LeadershipLost as lost:
            log.warning("leadership_lost", why=str(lost))
        else:
            return


def _in_turn(work: Callable[[str], Awaitable[None]], turn: int, word: str) -> Awaitable[None]:
    return work(f"{word}-{turn}")


async def lead(kube: Kube, candidate: Candidate, work: Callable[[str], Awaitable[None]]) -> None:
    """Wait until the Lease is ours, then work until told to stop; give it back at the end.

    `work` gets a word that no holder of the Lease had before.

    Raises:
        LeadershipLost: the work was stopped, since the Lease could not be kept.
    """
    observed = _Observed()
    while not (taken := await _take(kube, candidate, observed)):  # noqa: ASYNC110 - what is waited for is elsewhere
        await asyncio.sleep(RENEW_S)
    log.info("leading", lease=str(candidate.lease), identity=candidate.identity)
    working = asyncio.ensure_future(work(f"{candidate.identity}-{taken}"))
    renewing = asyncio.ensure_future(_renew(kube, candidate))
    try:
        await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, renewing):
            if task.done():
                task.result()
    finally:
        for task in (working, renewing):
            task.cancel()
        await asyncio.gather(working, renewing, return_exceptions=True)
        await _give_back(kube, candidate)


@dataclass(slots=True)
class _Observed:
    """The Lease as it was last seen to change, by our own clock: the holder's may be wrong."""

    version: str = ""
    changed_at: float = 0.0


async def _take(kube: Kube, candidate: Candidate, observed: _Observed) -> int:
    """Take the Lease if it is free; return how many holders it has had, 0 when it is not ours."""
    loop = asyncio.get_running_loop()
    try:
        lease = await kube.get(LEASE, candidate.lease)
    except NotFound:
        return await _make(kube, candidate)
    except KubeError as error:
        log.warning("lease_unreadable", lease=str(candidate.lease), error=str(error))
        return 0
    spec, version = lease.get("spec") or {}, lease["metadata"]["resourceVersion"]
    if version != observed.version:
        observed.version, observed.changed_at = version, loop.time()
    holder = spec.get("holderIdentity")
    patience_s = float(spec.get("leaseDurationSeconds") or LEASE_S)
    if holder and holder != candidate.identity and loop.time() - observed.changed_at < patience_s:
        return 0
    transitions = int(spec.get("leaseTransitions") or 0) + 1
    more: Object = {"acquireTime": _micro(candidate), "leaseTransitions": transitions}
    try:
        return transitions if await _write(kube, candidate, version, more) else 0
    except KubeError as error:
        log.warning("lease_not_taken", lease=str(candidate.lease), error=str(error))
        return 0


async def _make(kube: Kube, candidate: Candidate) -> int:
    metadata = {"name": candidate.lease.name, "namespace": candidate.lease.namespace}
    spec = {**_held(candidate), "acquireTime": _micro(candidate), "leaseTransitions": 1}
    try:
        await kube.create(LEASE, {"metadata": metadata, "spec": spec})
    except AlreadyExists:
        return 0
    except KubeError as error:
        log.warning("lease_not_made", lease=str(candidate.lease), error=str(error))
        return 0
    return 1


async def _renew(kube: Kube, candidate: Candidate) -> None:
    """Renew until that fails for too long. Raises LeadershipLost."""
    loop = asyncio.get_running_loop()
    renewed_at = loop.time()
    while True:
        await asyncio.sleep(max(min(RENEW_S, renewed_at + GIVE_UP_S - loop.time()), 0))
        try:
            async with asyncio.timeout(max(renewed_at + GIVE_UP_S - loop.time(), 0)):
                lease = await kube.get(LEASE, candidate.lease)
                if (lease.get("spec") or {}).get("holderIdentity") != candidate.identity:
                    raise LeadershipLost(f"{candidate.lease} is held by somebody else")
                if await _write(kube, candidate, lease["metadata"]["resourceVersion"], {}):
                    renewed_at = loop.time()
        except (KubeError, TimeoutError) as error:
            log.warning("lease_not_renewed", lease=str(candidate.lease), error=str(error))
        if loop.time() - renewed_at >= GIVE_UP_S:
            raise LeadershipLost(f"{candidate.lease} could not be renewed for {GIVE_UP_S:.0f} s")


async def _write(kube: Kube, candidate: Candidate, version: str, more: Object) -> bool:
    """Make the Lease ours, unless it has changed since `version`."""
    patch = {"metadata": {"resourceVersion": version}, "spec": {**_held(candidate), **more}}
    try:
        await kube.patch(LEASE, candidate.lease, patch)
    except Conflict:
        return False
    return True


async def _give_back(kube: Kube, candidate: Candidate) -> None:
    """Let the next one have it at once. That it cannot be given back only costs the next one some seconds."""
    try:
        lease = await kube.get(LEASE, candidate.lease)
        if (lease.get("spec") or {}).get("holderIdentity") == candidate.identity:
            version = lease["metadata"]["resourceVersion"]
            patch = {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": ""}}
            await kube.patch(LEASE, candidate.lease, patch)
    except KubeError as error:
        log.info("lease_not_given_back", lease=str(candidate.lease), error=str(error))


def _held(candidate: Candidate) -> Object:
    return {
        "holderIdentity": candidate.identity,
        "leaseDurationSeconds": int(LEASE_S),
        "renewTime": _micro(candidate),
    }


def _micro(candidate: Candidate) -> str:
    return datetime.fromtimestamp(candidate.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
