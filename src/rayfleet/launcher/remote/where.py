"""Where the head of a cluster elsewhere is: a note in the cluster's folder, written before anything is launched.

As long as the note is there the cluster counts as up; `down` removes it when a listing has shown that nothing is left.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rayfleet.contracts import Login, Machine
from rayfleet.launcher import suspension
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home


@dataclass(frozen=True, slots=True)
class Where:
    """The head, as it was reached last. `machine`, `address`: "" until there is one. `kind`: the provider's type.

    `container` is the one that Ray is in, if any, which
    `container_program` runs. `known_hosts`: the cluster's own file of host keys, "": the user's own rules hold.
    `made`: the machine was made for the cluster, and its keys are filed by its id.
    """

    kind: str
    machine: str = ""
    address: str = ""
    internal: str = ""
    login: Login = Login()
    container: str = ""
    container_program: str = "docker"
    known_hosts: str = ""
    made: bool = False

    @property
    def key_name(self) -> str:
        """Return what the head is called in the cluster's file of host keys; "": by its address."""
        return self.machine if self.made else ""

    def at(self, machine: Machine) -> Where:
        """Return it with the head being that machine."""
        return replace(self, machine=machine.id, address=reach(machine, self.login), internal=machine.address)


def reach(machine: Machine, login: Login) -> str:
    """Return the address at which a machine is reached from here; "" while it has none."""
    return machine.address if login.use_internal else machine.public_address or machine.address


def known_hosts(where: Where) -> Path | None:
    """Return the cluster's own file of host keys; None: the user's own rules hold."""
    return Path(where.known_hosts) if where.known_hosts else None


def save(home: Home, where: Where) -> None:
    """Write the note, whole or not at all."""
    home.write(home.remote, json.dumps(asdict(where), indent=1) + "\n")


def load(home: Home) -> Where | None:
    """Return the note; None where there is none.

    Raises:
        NotRunning: it was damaged; `up` writes it anew.
    """
    try:
        told = json.loads(home.remote.read_text(encoding="utf-8"))
        return Where(**{**told, "login": Login(**told["login"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise NotRunning(f"{home.remote} cannot be read: {error}", f"rayfleet up {home.name} writes it anew") from None


def head_of(home: Home) -> Where:
    """Return where the head is.

    Raises:
        NotRunning: there is no head yet, or no such cluster elsewhere; or it is suspended.
    """
    suspension.refuse(home)
    found = load(home)
    if found is None or not found.address:
        raise NotRunning(f"cluster {home.name} has no head that could be asked", f"rayfleet up {home.name}")
    return found
