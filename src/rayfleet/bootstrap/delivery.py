"""Which way a cluster's recipes reach its machines: by their user-data where that is possible, else over SSH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rayfleet.bootstrap.offered import narrowed
from rayfleet.bootstrap.script import SIZE_MAX, TooLarge, start_script
from rayfleet.bootstrap.steps import Recipe
from rayfleet.contracts import Login, Machine, StartScript
from rayfleet.model import Policy, Pool
from rayfleet.wire.ssh.session import Target

_SLACK: int = 1000
"""Bytes by which scripts of one pool may differ, since their offers' labels do."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where machines are found, and by whom.

    `outside`: from elsewhere than where they are, so at their public address where they have one. `made`: machines are
    made and end, so that each has keys of its own, whatever address it got. `own`: how the one at an address is logged
    in to, where that may differ.
    """

    login: Login
    known_hosts: Path | None = None
    outside: bool = False
    made: bool = False
    own: Callable[[str], Login] | None = None

    def target(self, machine: Machine) -> Target:
        """Return whom to log in to."""
        public = self.outside and not self.login.use_internal
        address = (machine.public_address if public else "") or machine.address
        key_name = machine.id if self.made else ""
        login = self.own(machine.address) if self.own else self.login
        return Target(address, login, machine.id, self.known_hosts, key_name)


class Delivery:
    """The recipes of one cluster's machines, and the way of each."""

    def __init__(self, policy: Policy, recipe: Callable[[Pool, bool], Recipe], *, user_data: bool) -> None:
        """Take the pools and who writes the recipes (pool, head). `user_data`: machines can be given a script."""
        self._head = policy.head
        self._pools = {pool.name: pool for pool in policy.pools}
        self._recipe = recipe
        self._user_data = user_data
        self._itself: dict[tuple[str, bool], bool] = {}

    def script(self, pool: Pool, head: bool) -> StartScript:  # noqa: FBT001 - as `ProviderContext.start_script` has it
        """Return what a machine carries out itself; nothing where that is done over SSH."""
        if not self._carries_out_itself(pool, head=head):
            return StartScript(())
        return start_script(self._recipe(pool, head), SIZE_MAX + _SLACK)

    def recipe(self, machine: Machine) -> Recipe:
        """Return the recipe of a machine that is to be set up over SSH, with its own offer's labels."""
        pool = self._pool(machine)
        if pool is None:
            raise LookupError(f"{machine.id} is of the pool {machine.offer.pool}, which does not exist")
        return self._recipe(narrowed(pool, machine.offer), machine.head)

    def is_for_ssh(self, machine: Machine) -> bool:
        """Say whether it is. A machine of a pool that the file has no more is not: it will go."""
        pool = self._pool(machine)
        return pool is not None and not self._carries_out_itself(pool, head=machine.head)

    def _pool(self, machine: Machine) -> Pool | None:
        return self._head if machine.head else self._pools.get(machine.offer.pool)

    def _carries_out_itself(self, pool: Pool, *, head: bool) -> bool:
        """Say whether its machines do. Decided once for each pool: a machine must not fall between the two."""
        key = (pool.name, head)
        if key not in self._itself:
            self._itself[key] = self._user_data and _fits(self._recipe(pool, head))
        return self._itself[key]


def _fits(recipe: Recipe) -> bool:
    if recipe.has_files:
        return False
    try:
        start_script(recipe)
    except TooLarge:
        return False
    return True
