"""The emulator's instances: what exists, in which state, and how much more could be had. No HTTP here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

STATE_CODES: Final = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
_NEXT: Final = {"pending": "running", "shutting-down": "terminated", "stopping": "stopped"}
USER_SHUTDOWN: Final = "Client.UserInitiatedShutdown"
_ADDRESSES_OF_A_NET: Final = 250


class AwsError(Exception):
    """An error as the cloud words it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """Keep code, message and HTTP status."""
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(slots=True)
class Instance:
    """One instance. `market` is `on-demand` or `spot`; `user_data` is what the machine reads at its first boot.

    `looks` counts the listings that have shown it in its state; `request` is the RunInstances call that made it.
    """

    id: str
    type: str
    image: str
    zone: str
    subnet: str
    vpc: str
    market: str
    private_address: str
    public_address: str
    launched_at: str
    request: dict[str, Any]
    user_data: bytes = b""
    tags: dict[str, str] = field(default_factory=dict)
    state: str = "pending"
    reason: tuple[str, str] = ("", "")
    spot_request: str = ""
    spot_status: str = "fulfilled"
    spot_changed_at: str = ""
    looks: int = 0

    @property
    def exists(self) -> bool:
        """Say whether it takes up stock."""
        return self.state not in ("shutting-down", "terminated")


def loopback_addresses() -> Iterator[tuple[str, str]]:
    """Yield (private, public) addresses that cannot be anybody else's."""
    for number in itertools.count():
        tail = f"{number // _ADDRESSES_OF_A_NET % 256}.{number % _ADDRESSES_OF_A_NET + 1}"
        yield f"127.78.{tail}", f"127.77.{tail}"


@dataclass(slots=True)
class Account:
    """All instances of one account in one region.

    `stock` by (zone, type, market), absent: plenty. `quota` by market, in instances. `spot_usd`: what spot costs for an
    hour, by zone, where fleets mind. `looks_until_done`: so many
    listings show an instance in a passing state before it moves on. `hidden_looks`: so many do not show a new one at
    all, as the cloud's listings are late. `on_launch` is told of each new instance before the caller has its answer,
    `on_state` of each that was asked to start, stop or terminate; `addresses` gives what the next instances get.
    """

    stock: dict[tuple[str, str, str], int] = field(default_factory=dict)
    quota: dict[str, int] = field(default_factory=dict)
    spot_usd: dict[str, float] = field(default_factory=dict)
    looks_until_done: int = 1
    hidden_looks: int = 0
    on_launch: Callable[[Instance], None] | None = None
    on_state: Callable[[Instance], None] | None = None
    addresses: Iterator[tuple[str, str]] = field(default_factory=loopback_addresses)
    instances: dict[str, Instance] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def new_id(self, prefix: str) -> str:
        """Return an id that was never given out, in the cloud's shape."""
        return f"{prefix}-{next(self._numbers):017x}"

    def living(self) -> list[Instance]:
        """Return what exists."""
        return [instance for instance in self.instances.values() if instance.exists]

    def room(self, zone: str, kind: str, market: str, least: int, most: int) -> int:
        """Return how many of `most` can be had.

        Raises:
            AwsError: fewer than `least`.
        """
        free = most
        if market in self.quota:
            free = min(free, self.quota[market] - sum(each.market == market for each in self.living()))
            if free < least:
                code = "MaxSpotInstanceCountExceeded" if market == "spot" else "VcpuLimitExceeded"
                raise AwsError(code, f"You have requested more {market} capacity than your current limit allows.")
        free = min(free, self.stock.get((zone, kind, market), free))
        if free < least:
            text = f"We currently do not have sufficient {kind} capacity in {zone}."
            raise AwsError("InsufficientInstanceCapacity", text, 500)
        if (zone, kind, market) in self.stock:
            self.stock[zone, kind, market] -= free
        return free

    def check_price(self, zone: str, asked: Mapping[str, Any]) -> None:
        """Hold a maximum price against what spot costs.

        Raises:
            AwsError: it is too low.
        """
        price = self.spot_usd.get(zone, 0.0)
        if float(asked.get("MaxPrice", price)) < price:
            raise AwsError("SpotMaxPriceTooLow", f"Your Spot request price is lower than the minimum of {price}.")

    def add(self, instance: Instance) -> None:
        """Keep a new instance and tell who wants to know."""
        self.instances[instance.id] = instance
        if self.on_launch is not None:
            self.on_launch(instance)

    def look(self, found: Iterable[Instance]) -> None:
        """Move on what has been shown."""
        for instance in found:
            instance.looks += 1
            if instance.state in _NEXT and instance.looks >= self.looks_until_done:
                self.move(instance, _NEXT[instance.state])

    def named(self, ids: Iterable[str]) -> list[Instance]:
        """Return the instances of these ids.

        Raises:
            AwsError: one of them never existed, or an id has no such shape; then nothing is done with the others.
        """
        wanted = list(ids)
        malformed = [each for each in wanted if not each.startswith("i-")]
        if malformed:
            raise AwsError("InvalidInstanceID.Malformed", f'Invalid id: "{malformed[0]}"')
        unknown = [each for each in wanted if each not in self.instances]
        if unknown:
            names = ", ".join(unknown)
            raise AwsError("InvalidInstanceID.NotFound", f"The instance IDs '{names}' do not exist")
        return [self.instances[each] for each in wanted]

    def end(self, instance: Instance, code: str = USER_SHUTDOWN, text: str = "User initiated shutdown") -> None:
        """Have an instance end."""
        if instance.exists:
            self.move(instance, "shutting-down")
            instance.reason = (code, text)

    def stop(self, instance: Instance) -> None:
        """Have an instance stop.

        Raises:
            AwsError: it is just being started, or it is gone, or it is a one-time spot instance.
        """
        if instance.market == "spot":
            raise AwsError("UnsupportedOperation", f"You can't stop the Spot Instance '{instance.id}'")
        if instance.state not in ("running", "stopping", "stopped"):
            text = f"The instance '{instance.id}' is not in a state from which it can be stopped."
            raise AwsError("IncorrectInstanceState", text)
        if instance.state == "running":
            self.move(instance, "stopping")
            instance.reason = (USER_SHUTDOWN, "User initiated shutdown")

    def start(self, instance: Instance) -> None:
        """Have a stopped instance start.

        Raises:
            AwsError: it is stopping or gone.
        """
        if instance.state not in ("pending", "running", "stopped"):
            text = f"The instance '{instance.id}' is not in a state from which it can be started."
            raise AwsError("IncorrectInstanceState", text)
        if instance.state == "stopped":
            self.move(instance, "pending")
            instance.reason = ("", "")

    def move(self, instance: Instance, state: str) -> None:
        """Put an instance into a state and tell who wants to know."""
        instance.state, instance.looks = state, 0
        if self.on_state is not None:
            self.on_state(instance)
