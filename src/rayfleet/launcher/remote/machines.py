"""The machines of a cluster elsewhere, as the place lists them now."""

from __future__ import annotations

import shlex

from rayfleet import wiring
from rayfleet.bootstrap.recipe import Extra
from rayfleet.bootstrap.rendering import at
from rayfleet.bootstrap.steps import Where
from rayfleet.contracts import Machine, MachineState, Provider
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote.down import as_stored
from rayfleet.launcher.remote.site import ANY_ADDRESS, bare, glimpse
from rayfleet.launcher.remote.where import reach
from rayfleet.wire.node_end import end_node

_HERE = frozenset({MachineState.STARTING, MachineState.RUNNING})


async def workers(home: Home) -> tuple[Machine, ...]:
    """Return the workers that run or start.

    Raises:
        ProviderError: the listing cannot be had.
    """
    provider = bare(glimpse(as_stored(home)))
    try:
        return tuple(m for m in await provider.list() if not m.head and m.state in _HERE)
    finally:
        await provider.close()


async def addresses(home: Home) -> tuple[str, ...]:
    """Return where the workers are reached from here.

    Raises:
        ProviderError: the listing cannot be had.
    """
    login = wiring.login(as_stored(home).spec)
    return tuple(found for machine in await workers(home) if (found := reach(machine, login)))


async def give_back(home: Home, machine_id: str) -> None:
    """Have the place take a machine away, as if it had failed: for tests of what the cluster does then.

    Raises:
        ProviderError: it does not.
    """
    provider: Provider = bare(glimpse(as_stored(home)))
    try:
        await provider.list()
        await provider.release((machine_id,))
    finally:
        await provider.close()


def end_of_ray(home: Home, machine: Machine) -> str:
    """Return the line of shell that ends Ray on a worker, in its container if it has one; the machine stays.

    Raises:
        NotRunning: it is of a pool that the cluster's file has no more.
    """
    spec = as_stored(home).spec
    pool = next((pool for pool in spec.policy.pools if pool.name == machine.offer.pool), None)
    if pool is None:
        hint = f"rayfleet up {home.name} sends it home"
        raise NotRunning(f"{machine.id} is of {machine.offer.pool}, which the file has no more", hint)
    ray = wiring.remote_settings(spec, home.path, ANY_ADDRESS)
    recipe = wiring.recipe_for(spec, ray, pool, Extra(), head=False)
    # What belongs to a node is known by the machine's id; see `end_node`.
    known = f"export RAYFLEET_MACHINE_ID={shlex.quote(machine.id)} RAYFLEET_ADDRESS={shlex.quote(machine.address)}"
    return f"{known}; exec bash -c {shlex.quote(at(recipe, end_node(spec.name), Where.NODE))}"


def named(home: Home, found: tuple[Machine, ...]) -> tuple[Machine, ...]:
    """Return the machines, of which there is at least one.

    Raises:
        NotRunning: there is none.
    """
    if not found:
        raise NotRunning(f"cluster {home.name} has no worker", f"rayfleet status {home.name}")
    return found
