"""What one project has at the emulated cloud: machines and operations, and how they get on.

There is no clock in it: a machine or an operation is one step further each time that it is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

ZONES: Final = {
    "us-central1": ("us-central1-a", "us-central1-b", "us-central1-c"),
    "us-west1": ("us-west1-a", "us-west1-b"),
    "europe-west4": ("europe-west4-a", "europe-west4-b"),
}
_NEXT: Final = {"PROVISIONING": "STAGING", "STAGING": "RUNNING", "STOPPING": "TERMINATED"}


@dataclass(frozen=True, slots=True)
class Launched:
    """A machine that was just made or started, for `on_launch`; `metadata` has its startup-script."""

    name: str
    zone: str
    labels: dict[str, str]
    metadata: dict[str, str]


Addresses = tuple[str, str]
"""A machine's internal and external address."""


@dataclass(slots=True)
class Virtual:
    """One machine. `body`: what the API says of it. `hidden`: so many listings do not show it yet."""

    body: dict[str, Any]
    zone: str
    hidden: int = 0
    deleting: bool = False
    preempted: bool = False

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.body["name"])

    @property
    def metadata(self) -> dict[str, str]:
        """Return its metadata by key."""
        return {item["key"]: item["value"] for item in self.body.get("metadata", {}).get("items", [])}


@dataclass(slots=True)
class Operation:
    """One operation. `looks`: so many are needed until it is done; `then` happens then, and `end` is said."""

    body: dict[str, Any]
    looks: int
    then: Callable[[], None] | None = None
    end: dict[str, Any] = field(default_factory=lambda: {"status": "DONE", "progress": 100})
    over: bool = False

    def look(self) -> dict[str, Any]:
        """Get one step further, and say how far."""
        if self.looks > 0:
            self.looks -= 1
        else:
            self.finish()
        return self.body

    def finish(self) -> None:
        """Be done now."""
        if not self.over:
            self.over = True
            self.body |= self.end
            if self.then:
                self.then()


@dataclass(slots=True)
class Account:
    """Everything of one project. `operation_looks`, `hide_new`: for what is made from now on.

    `on_launch` is told of each machine (host of a slice) that is made or started, before the caller has its answer, and
    may give it addresses; `on_gone` is told the name of each that is deleted, stopped or taken away. `launches`: the
    request ids of all calls that made machines, in their order.
    """

    project: str = "test-project"
    operation_looks: int = 1
    hide_new: int = 0
    on_launch: Callable[[Launched], Addresses | None] | None = None
    on_gone: Callable[[str], None] | None = None
    machines: dict[tuple[str, str], Virtual] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    firewalls: dict[str, dict[str, Any]] = field(default_factory=dict)
    service_accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=lambda: {"version": 1, "etag": "AAAA", "bindings": []})
    slices: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    no_subnets: bool = False
    ever_made: int = 0
    launches: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def step(self, machine: Virtual) -> bool:
        """Have a machine get on by being looked at; say whether this look shows it."""
        if machine.hidden > 0:
            machine.hidden -= 1
            return False
        status = machine.body["status"]
        if machine.deleting and status == "DEPROVISIONING":
            del self.machines[machine.zone, machine.name]
            return False
        machine.body["status"] = "DEPROVISIONING" if machine.deleting else _NEXT.get(status, status)
        return True

    def up(self, name: str, zone: str, labels: dict[str, str], metadata: dict[str, str]) -> Addresses | None:
        """Tell that a machine comes up; return the addresses that it is given."""
        return self.on_launch(Launched(name, zone, labels, metadata)) if self.on_launch else None

    def down(self, name: str) -> None:
        """Tell that a machine goes down."""
        if self.on_gone:
            self.on_gone(name)

    def preempt(self, name: str) -> None:
        """Take a spot machine away, as Google does; it goes altogether when its scheduling says DELETE."""
        machine = self.named(name)
        self.down(name)
        machine.preempted = True
        machine.body["status"] = "STOPPING"
        machine.deleting = machine.body.get("scheduling", {}).get("instanceTerminationAction") == "DELETE"
        self.operation("compute.instances.preempted", machine.zone, target=name).finish()

    def vanish(self, name: str) -> None:
        """Have a machine be gone at once, as if it had never been."""
        machine = self.named(name)
        self.down(name)
        del self.machines[machine.zone, name]

    def named(self, name: str) -> Virtual:
        """Return the machine of that name.

        Raises:
            KeyError: there is none.
        """
        for machine in self.machines.values():
            if machine.name == name:
                return machine
        raise KeyError(name)

    def labelled(self, key: str, value: str) -> list[Virtual]:
        """Return the machines with a label, also those that are just being deleted."""
        return [m for m in self.machines.values() if m.body.get("labels", {}).get(key) == value]

    def operation(
        self, kind: str, place: str, *, target: str = "", error: tuple[str, str] | None = None, request_id: str = ""
    ) -> Operation:
        """Begin an operation in a zone, a region or (place "") globally."""
        number = next(self.numbers)
        scope = {"zone": f"zones/{place}"} if place.count("-") > 1 else {"region": f"regions/{place}"} if place else {}
        body: dict[str, Any] = {
            "kind": "compute#operation",
            "id": str(number),
            "name": f"operation-{number}",
            "operationType": kind,
            "status": "RUNNING",
            "targetLink": target,
            **{key: self.link(value) for key, value in scope.items()},
        }
        if error:
            body["error"] = {"errors": [{"code": error[0], "message": error[1]}]}
        made = Operation(body, self.operation_looks)
        self.operations[body["name"]] = made
        if request_id:
            self.requests[request_id] = body["name"]
        return made

    def link(self, path: str) -> str:
        """Return the full address of something of this project."""
        return f"https://www.googleapis.com/compute/v1/projects/{self.project}/{path}"
