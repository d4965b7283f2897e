"""The two programs of this room, from their settings to their end."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import structlog

from rayfleet.config import ConfigInvalid
from rayfleet.config.problems import Problem
from rayfleet.kube_operator.autoscaler import STATE_FOLDER, Head, autoscale
from rayfleet.kube_operator.raycluster.scheduling import SCHEDULERS
from rayfleet.kube_operator.runtime.endpoint import Address, answering
from rayfleet.kube_operator.runtime.operator import Edges, Operator
from rayfleet.kube_operator.runtime.tally import Tally
from rayfleet.kube_operator.settings import Autoscaling, OperatorSettings
from rayfleet.loop.clock import SystemClock
from rayfleet.reports import log_lines
from rayfleet.reports.log_lines import LogFormat
from rayfleet.wire.kube.client import KubeClient, find_config
from rayfleet.wire.kube.election import Candidate, stand
from rayfleet.wire.kube.objects import Key

LEASE_NAME: Final = "rayfleet-operator"
_SWITCHES: Final = {
    "ENABLE_INIT_CONTAINER_INJECTION": "init_container",
    "ENABLE_PROBES_INJECTION": "probes",
    "ENABLE_LOGIN_SHELL": "login_shell",
    "ENABLE_RANDOM_POD_DELETE": "random_pod_delete",
    "ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE": "head_cluster_ip",
    "ENABLE_GCS_FT_REDIS_CLEANUP": "redis_cleanup",
}
"""KubeRay's environment variables of an operator -> our settings."""


@dataclass(frozen=True, slots=True)
class Started:
    """How the operator was started.

    No `namespaces`: all. No `image`: as the environment says. `listen`: where it tells how it is; None: nowhere.
    """

    namespaces: tuple[str, ...] = ()
    context: str | None = None
    image: str | None = None
    listen: Address | None = None
    autoscaling: Autoscaling = Autoscaling.SIDECAR


def run_autoscaler(namespace: str, name: str) -> None:
    """Scale one RayCluster from the container beside its head, until told to stop."""
    _log_lines()
    head = Head.beside(os.environ)
    folder = Path(head.shared) / STATE_FOLDER
    asyncio.run(autoscale(KubeClient(find_config()), Key(namespace, name), head, folder))


def run_operator(started: Started) -> None:
    """Run the operator until told to stop."""
    _log_lines()
    asyncio.run(_operate(started))


def operator_settings(environment: Mapping[str, str], started: Started) -> OperatorSettings:
    """Return the settings that an operator's environment, and before it those who started it, ask for.

    Raises:
        ConfigInvalid: it asks for a scheduler that is not known here.
    """
    given = {
        ours: environment[theirs].strip().lower() == "true"
        for theirs, ours in _SWITCHES.items()
        if theirs in environment
    }
    settings = OperatorSettings(**given)  # type: ignore[arg-type]  # all switches are booleans
    domain = environment.get("CLUSTER_DOMAIN") or settings.cluster_domain
    scheduler = environment.get("BATCH_SCHEDULER", "").strip()
    if scheduler not in SCHEDULERS:
        known = ", ".join(filter(None, SCHEDULERS))
        raise ConfigInvalid([Problem(f"BATCH_SCHEDULER {scheduler} is not supported", hint=f"{known}, or none")])
    return replace(
        settings,
        cluster_domain=domain,
        image=started.image or environment.get("RAYFLEET_IMAGE") or settings.image,
        namespace=environment.get("POD_NAMESPACE", ""),
        autoscaling=started.autoscaling,
        batch_scheduler=scheduler,
    )


async def _operate(started: Started) -> None:
    """Wait for the lease and work, until told to stop; tell how it is all the while."""
    config = find_config(started.context)
    kube = KubeClient(config)
    settings, clock, tally = operator_settings(os.environ, started), SystemClock(), Tally()
    at_work: list[Operator] = []

    async def operate(incarnation: str) -> None:
        edges = Edges(kube, settings, incarnation, clock.now, namespaces=started.namespaces or (None,))
        operator = Operator(edges, tally=tally)
        at_work[:] = [operator]
        try:
            with tally.at_work(operator.caches.stores, lambda: len(operator.queue)):
                await operator.run()
        finally:
            at_work.clear()  # who waits for its turn keeps nothing of the last one

    lease = Key(os.environ.get("POD_NAMESPACE") or config.namespace, LEASE_NAME)
    candidate = Candidate(lease, f"{socket.gethostname()}-{secrets.token_hex(4)}", clock.now)
    try:
        async with AsyncExitStack() as open_:
            if started.listen:
                told = answering(
                    started.listen,
                    tally.registry,
                    lambda: all(one.ready for one in at_work),
                    lambda: chain.from_iterable(one.fleet.figures() for one in at_work),
                )
                await open_.enter_async_context(told)
            await _until_told(asyncio.ensure_future(stand(kube, candidate, operate)))
    finally:
        await kube.close()


async def _until_told(running: asyncio.Future[None]) -> None:
    """Wait for the end of `running`, which a signal brings about."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        structlog.get_logger().info("operator_stopped")


def _log_lines() -> None:
    """Log to standard output, where `kubectl logs` finds it; as JSON where RAYFLEET_LOG_FORMAT says so."""
    if log_lines.wanted() is LogFormat.JSON:
        log_lines.json_lines([logging.StreamHandler(sys.stdout)])
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        return
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
