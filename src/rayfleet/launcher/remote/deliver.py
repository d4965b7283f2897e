"""The last part of the way to a head, over one SSH session: rayfleet, the cluster's folder, the controller."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import rayfleet
from rayfleet import wiring
from rayfleet.bootstrap import rendering
from rayfleet.bootstrap.steps import Put, Recipe, Run, Step, Write
from rayfleet.config import ClusterSpec
from rayfleet.contracts import Denied
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.progress import Step as Told
from rayfleet.launcher.remote import install, wheel
from rayfleet.launcher.remote.config import on_head, without_alert_secrets
from rayfleet.launcher.remote.where import Where
from rayfleet.providers.local import coordinator_token
from rayfleet.reports.alerts.addresses import NotThere
from rayfleet.reports.alerts.addresses import read as read_secret
from rayfleet.reports.log_lines import FORMAT_VARIABLE
from rayfleet.wire.ssh.session import Ran, Session

STEP_TIMEOUT_S: Final = 1800.0
"""A pip that fetches Ray over a slow line may take long."""

Json = dict[str, Any]


class StepFailed(LauncherError):
    """A command on the head failed; the message holds it and its last lines."""


@dataclass(frozen=True, slots=True)
class OnHead:
    """Where commands are run on a head: by whom, in which container, with which variables."""

    session: Session
    recipe: Recipe
    where: Where
    progress: Progress

    async def do(self, step: Step) -> Ran:
        """Do a step.

        Raises:
            StepFailed: it ended with something else than 0.
            SshError: the head is out of reach.
        """
        self.progress(Told(f"head {self.where.machine}: {step.name}"))
        line, content = self._line(step)
        ran = await self.session.run(line, env=self._variables(), stdin=content, timeout_s=STEP_TIMEOUT_S)
        if ran.code:
            said = rendering.telling(ran.lines)
            text = f"{step.name}, on the head {self.where.machine} ({self.where.address}), ended with code {ran.code}:"
            raise StepFailed("\n".join((text, *said)), "when that is put right: rayfleet up")
        return ran

    async def ask(self, verb: str) -> Json:
        """Run one of our hidden commands there (its name, perhaps with options), and return its answer.

        Raises:
            StepFailed, SshError: as `do`; or the answer is none.
        """
        ran = await self.do(install.verb_step(verb, self.recipe.cluster, _NAMES[verb.partition(" ")[0]]))
        for line in reversed(ran.lines):
            if line.startswith("{"):
                answer: Json = json.loads(line)
                return answer
        raise StepFailed("\n".join((f"{verb} on the head answers with something else:", *ran.lines)))

    def _line(self, step: Step) -> tuple[str, str]:
        match step:
            case Write():
                return rendering.write_line(self.recipe, step)
            case Run():
                return rendering.command_line(self.recipe, step), ""
            case Put():
                raise TypeError("files are copied by the recipe, not after it")

    def _variables(self) -> Mapping[str, str]:
        # Ray wants an address in numbers; who has none finds its own.
        try:
            address = str(ipaddress.ip_address(self.where.internal))
        except ValueError:
            address = ""
        asked = os.environ.get(FORMAT_VARIABLE)
        return {
            "RAYFLEET_MACHINE_ID": self.where.machine,
            "RAYFLEET_ADDRESS": address,
            "RAYFLEET_CLUSTER": self.recipe.cluster,
            **({FORMAT_VARIABLE: asked} if asked else {}),
        }


_NAMES: Final = {
    "head-start": "starting the controller",
    "head-state": "waiting for workers",
    "head-rest": "sending the workers home",
    "head-stop": "stopping the controller",
}


async def deliver(
    head: OnHead,
    spec: ClusterSpec,
    *,
    no_restart: bool = False,
    installed: Callable[[], None] = lambda: None,
) -> Json:
    """See that rayfleet is on the head, with the cluster's configuration, and that it controls the cluster.

    `no_restart`: of the workers' Ray too, whatever has changed. `installed`: called when the first two are so.

    Raises:
        StepFailed, SshError: as `OnHead.do`.
        LauncherError: rayfleet cannot be carried, or the key cannot be read.
    """
    for step in install.steps(carried(spec, head.where, no_restart=no_restart)):
        await head.do(step)
    installed()
    return await head.ask("head-start")


def carried(spec: ClusterSpec, where: Where, *, no_restart: bool = False) -> install.Carried:
    """Return what the head is to have.

    Raises:
        LauncherError: rayfleet cannot be carried, or the key cannot be read.
    """
    key = where.login.private_key
    try:
        secret = Path(key).read_text(encoding="utf-8") if key else ""
    except OSError as error:
        raise LauncherError(f"the key {key} cannot be read: {error}", "auth.ssh_private_key names it") from error
    pool = pool_token(spec)
    raw, secrets = without_alert_secrets(spec.raw, spec.name, alert_secret)
    return install.Carried(
        cluster=spec.name,
        kind=spec.provider,
        version=rayfleet.__version__,
        wheel_name=wheel.name(),
        wheel=wheel.build(),
        config=on_head(raw, spec.name, with_key=bool(secret), with_pool_token=bool(pool))
        | ({"no_restart": True} if no_restart else {}),
        key=secret,
        pool_token=pool,
        public_key=where.login.public_key,
        secrets=secrets,
    )


def alert_secret(value: str) -> str | None:
    """Return what `env:NAME` or `file:PATH` means on this machine; None: nothing. Whoever is told says so then."""
    try:
        return read_secret(value)
    except NotThere:
        return None


def pool_token(spec: ClusterSpec) -> str:
    """Return what the head shows the coordinator of a shared pool; "": nothing.

    Raises:
        LauncherError: it cannot be read.
    """
    if not getattr(spec.provider_settings, "coordinator_address", None):
        return ""
    try:
        return coordinator_token(spec.provider_settings.coordinator_token_file)
    except Denied as error:
        raise LauncherError(str(error)) from error


def recipe_of(spec: ClusterSpec, ray: RaySettings) -> Recipe:
    """Return how commands are run on the head: the variables and the container of its recipe, none of its steps."""
    head = spec.policy.head
    if head is None:
        raise LauncherError(f"cluster {spec.name} has no head", "head_node_type names its type")
    whole = wiring.recipe_for(spec, ray, head, wiring.node_extra(spec, ray), head=True)
    return replace(whole, setup=(), start=())
