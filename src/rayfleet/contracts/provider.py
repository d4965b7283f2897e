"""A place that machines come from, and the five things that it can say when it cannot.

    ProviderError
     |- OutOfStock    none of this offer now        -> another offer; back off this one
     |- QuotaReached  our own limit there is full   -> back off every offer in scope
     |- Denied        not allowed, or never valid   -> stop asking, tell the user
     |- Gone          it is already away            -> success
     '- Flaky         no answer, try again          -> ask again under the same token

Each error names what the caller should do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from rayfleet.contracts.catalogue import Catalogue, Fetched, PriceQuestion, TypeConfig
from rayfleet.contracts.engine import StartScript
from rayfleet.contracts.hosts import Preflight
from rayfleet.contracts.login import Login
from rayfleet.model import OfferKey, Pool, StandbyMode, Trouble
from rayfleet.model.word import Word

SET_UP_TIMEOUT_S: Final = 900.0
"""For `ProviderKind.boot_timeout_s` of machines elsewhere: set-up commands count, and may install much."""


class MachineState(Word):
    """What a provider says of a machine. Machines that are gone are not listed.

    STANDBY: at rest without Ray (stopped, or booted for it), and can be started. One that is on its way there is
    STARTING, RUNNING or STOPPING.
    """

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the provider says exists, with the tags that we gave it.

    `id` is the provider's own and becomes RAY_CLOUD_INSTANCE_ID of its node. `batch` is the token
    of the launch that made it, "" where the place offers no tags. `launched_at`, `interrupt_at`:
    seconds since the epoch; `address`: how other machines reach it, "" when not known yet; `public_address`: how it is
    reached from elsewhere, "" where it has none. `trouble`: what a machine
    that is STARTING waits for (stock, a quota), or why it is FAILED, where the place tells; `message`: its own words.
    `replica`: what the hosts of one multi-host replica have in common, at a place that makes replicas and has no tags.
    """

    id: str
    offer: OfferKey
    batch: str
    state: MachineState
    head: bool = False
    launched_at: float = 0.0
    address: str = ""
    interrupt_at: float | None = None
    message: str = ""
    trouble: Trouble | None = None
    replica: str = ""
    public_address: str = ""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """One call for machines: `claims` (ids) of one offer under one client token `batch`.

    `hosts` machines are wanted for each claim. `reuse`: the machines on standby that are started for them, in the
    order of the claims (only of `KeepsStandby.start`).
    """

    batch: str
    offer: OfferKey
    pool: Pool
    claims: tuple[str, ...]
    hosts: int = 1
    head: bool = False
    reuse: tuple[str, ...] = ()


class ProviderError(Exception):
    """A provider could not do what was asked. `scope`: which offers are affected; None = the asked one."""

    trouble: Trouble = Trouble.FLAKY

    def __init__(self, message: str, scope: OfferKey | None = None) -> None:
        """Keep the message, in words for the user, and the scope."""
        super().__init__(message)
        self.scope = scope


class OutOfStock(ProviderError):
    """The offer has no machine to give now."""

    trouble = Trouble.OUT_OF_STOCK


class QuotaReached(ProviderError):
    """A limit of ours at the provider is full."""

    trouble = Trouble.QUOTA_REACHED


class Denied(ProviderError):
    """Never going to work without the user: no permission, invalid request."""

    trouble = Trouble.DENIED


class Gone(ProviderError):
    """What was to be released does not exist any more."""

    trouble = Trouble.GONE


class Flaky(ProviderError):
    """No or no clear answer; the same call may be made again."""

    trouble = Trouble.FLAKY


class Provider(Protocol):
    """Where machines come from. Every call is idempotent under its token or machine ids."""

    @property
    def name(self) -> str:
        """Return the provider's type: the folder's name, as in `provider.type`."""
        ...

    @property
    def list_interval_s(self) -> float:
        """Return how often `list` is worth calling, in seconds."""
        ...

    async def list(self) -> tuple[Machine, ...]:
        """Return all machines of this cluster that exist, in id order.

        Raises:
            Flaky: the listing could not be had; nothing may be concluded.
            Denied: listing is not allowed.
        """
        ...

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for machines. Returns when the place has accepted; booting is observed by `list`.

        The same `batch` again never makes a second set of machines. A partial success is a success:
        what is missing is seen in the listing.

        Raises:
            OutOfStock, QuotaReached, Denied, Flaky: as their names say; nothing was made, except
                perhaps with Flaky.
        """
        ...

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Give machines back. Unknown ids count as done. Returns when accepted.

        Raises:
            Flaky, Denied.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and tasks; machines stay."""
        ...


class KeepsStandby(Protocol):
    """An ability that a provider may have: machines that wait without Ray and can be started sooner than new ones.

    Its kind says so (`ProviderKind.standby`), so that nobody asks at run time. Every call is idempotent.
    """

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Make machines as `launch` does, but to wait: Ray is not started on them. Listed as STANDBY once at rest.

        Raises:
            OutOfStock, QuotaReached, Denied, Flaky: as for `launch`.
        """
        ...

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        """Have machines wait: what runs on them ends, and they are STANDBY as soon as it has. Returns when accepted.

        One that waits already is left alone; unknown ids count as done, and are not listed afterwards either.

        Raises:
            Denied: such machines cannot wait; they go on as they are.
            Flaky.
        """
        ...

    async def start(self, request: LaunchRequest) -> None:
        """Start machines that wait, `request.reuse`, with Ray for `request.claims`. Returns when accepted.

        They keep their ids and tags. One that works already is left alone; the same `batch` again starts no machine
        that has been stopped since. A part is a success: the others are still listed as STANDBY.

        Raises:
            Gone: none of them exists any more.
            OutOfStock, QuotaReached, Denied, Flaky: none was started, except perhaps with Flaky.
        """
        ...


class Tidies(Protocol):
    """An ability that a provider may have: it makes things for its launches which no machine takes with it.

    Its kind says so (`ProviderKind.tidies`).
    """

    async def leftovers(self) -> tuple[str, ...]:
        """Return what there is of this cluster's, by name.

        Raises:
            Flaky, Denied.
        """
        ...

    async def tidy(self) -> tuple[str, ...]:
        """Remove it all, when no machine of the cluster is left; return what that was. Idempotent.

        Raises:
            Flaky, Denied.
        """
        ...


class StandbyProvider(Provider, KeepsStandby, Protocol):
    """A provider with that ability."""


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a provider is built from.

    `settings` is a validated instance of the kind's `settings` model; `state_dir` is the cluster's own
    folder for durable files; `start_script(pool, head)` says what a machine of that pool runs (an empty `argv`:
    nothing, somebody comes over SSH and starts it). `types`: the file's own words about each pool's machines, by pool,
    the head's among them. `login`: who will log in to them.
    """

    cluster: str
    state_dir: Path
    settings: Any
    start_script: Callable[[Pool, bool], StartScript]
    types: Mapping[str, TypeConfig] = field(default_factory=dict)
    login: Login = Login()


@dataclass(frozen=True, slots=True)
class Notices:
    """How a spot machine asks, of the metadata service at `url`, whether it will be taken away.

    `program`: Python text, of the standard library alone, which defines `left_s(ask, url)`: the seconds that are left,
    or None. `ask(url, headers, method="GET")` returns the body of an answer, "" where there is nothing (404), and
    raises OSError when there is no answer.
    """

    program: str
    url: str


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """One entry of the provider registry (entry point group `rayfleet.providers`, object `PROVIDER`).

    `settings`: a pydantic model of the `provider:` section without `type`; unknown keys are refused by it. It may have
    a class attribute `uses`, the keys of the file outside that section which the provider takes notice of, and a static
    method `remarks(pools)`, which yields (pool, resource, text) for what is odd about pools at this place.
    `build` makes a provider; it does no I/O that can fail for reasons of the place. `standby`: in which ways its
    machines can wait; when not empty, what `build` makes is a `StandbyProvider`.
    `boot_timeout_s`: how long machines there may boot, where the file does not say; None: as long as anywhere.
    `remote`: machines are other computers, each with an address and an SSH server; the controller runs on their head.
    `keeps_hosts`: they are not made for us and go on after their release, so that they have to be left tidy, and
    user-data does not exist. `catalogue`: what is known of the machines one can ask for; None: nothing. `user_data`:
    new machines can be given a start script; where not, they are always prepared over SSH. `own_login`: returns how the
    machine at an address is logged in to (settings, the cluster's login, address), where that may differ. `prices`:
    asks the cloud for the prices of today (settings, question) and raises a `ProviderError` where it does not tell, or
    may not; None: there is nobody to ask. `preflight`:
    looks at every host before a cluster takes it, and changes nothing; None: machines are made for us.
    `passed_over`: reads, from the cluster's folder, which hosts the newest launches could not take, and why.
    `notices`: how a spot machine there learns that it will be taken away (settings); None: in no way. `tidies`: what
    `build` makes also is a `Tidies`.
    """

    name: str
    settings: type[Any]
    build: Callable[[ProviderContext], Provider]
    standby: tuple[StandbyMode, ...] = ()
    boot_timeout_s: float | None = None
    remote: bool = False
    keeps_hosts: bool = False
    catalogue: Catalogue | None = None
    user_data: bool = True
    own_login: Callable[[Any, Login, str], Login] | None = None
    prices: Callable[[Any, PriceQuestion], Awaitable[Fetched]] | None = None
    preflight: Preflight | None = None
    passed_over: Callable[[Path], Mapping[str, str]] | None = None
    notices: Callable[[Any], Notices] | None = None
    tidies: bool = False
