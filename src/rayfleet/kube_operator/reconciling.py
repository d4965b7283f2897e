"""The words of every reconcile function: what it sees, what it may want done.

    watch ---> cache ---> Observed ---> reconcile(Observed) -> Reconciled ---> API server
                 ^          (frozen,        pure, total,         (frozen)          |
                 |         holds `now`)     deterministic                          |
                 '--------- what came of it is seen in the next Observed ----------'

A reconcile function never waits and never asks: what the cache does not hold, it requests as a Probe and reads from
`Observed.facts` later.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rayfleet.model import Policy
from rayfleet.wire.kube.objects import Key, Kind, Object


class EventType(StrEnum):
    """How grave an event is."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Failure:
    """An action of the last pass that the API server refused. `error` is the class name of the KubeError."""

    reason: str
    message: str
    error: str


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a reconcile function may see.

    `thing` is the resource itself. `owned`: what it controls, by kind, in name order. `related`: objects that it only
    names (its secrets, selected clusters). `facts`: answers to earlier probes. `now`: seconds since the epoch.
    `incarnation`: of the operator, never the same twice; `departed`: how many pods of a slot this operator has seen
    go - together they make the name of a new pod one that no earlier pod had, and one that does not change until the
    pod is seen. `failures`: what the last pass could not do. `fresh_secret`: a word that nobody can guess, another one
    each time, for what must be made once.
    """

    thing: Object
    now: float
    owned: Mapping[Kind, tuple[Object, ...]] = field(default_factory=dict)
    related: Mapping[Kind, tuple[Object, ...]] = field(default_factory=dict)
    facts: Mapping[Hashable, object] = field(default_factory=dict)
    incarnation: str = ""
    departed: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    fresh_secret: str = field(default="", repr=False)

    def all(self, kind: Kind) -> tuple[Object, ...]:
        """Return what is owned of a kind."""
        return self.owned.get(kind, ())


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object under a derived name: that it exists already counts as done. `failure`: the word for a refusal."""

    kind: Kind
    thing: Object
    failure: str = "FailedCreate"


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one very object; that it is gone counts as done."""

    kind: Kind
    key: Key
    uid: str
    why: str
    grace_s: int | None = None
    failure: str = "FailedDelete"


@dataclass(frozen=True, slots=True)
class Patch:
    """Change an object. A list is a JSON patch, a mapping a merge patch."""

    kind: Kind
    key: Key
    patch: list[dict[str, object]] | dict[str, object]
    subresource: str = ""
    failure: str = "FailedUpdate"


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell people, as a Kubernetes event of the resource."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a cluster's own servers for something, once: submit or stop a job, configure Serve.

    Doing it again must do no harm: whether it was carried out is not known when the answer is lost. `call`, `target`
    and `secret` are as a Probe's; `arguments` what it is done with.
    """

    call: str
    target: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    failure: str = "FailedCall"
    secret: Key | None = None


@dataclass(frozen=True, slots=True)
class Certify:
    """Have a Secret hold a key, a certificate, and that of who vouches for it; the key that it has is kept.

    `thing` is the Secret without what is made up (keys and certificates); `before` is how it is there, None: not yet.
    `issuer`: the Secret of who vouches, None: it vouches for itself, and for others. `names` and `addresses`: as whom
    its holder may be called. `until`: seconds since the epoch.
    """

    thing: Object = field(repr=False)
    subject: str
    until: float
    before: Object | None = field(default=None, repr=False)
    issuer: Object | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    failure: str = "FailedCreateCertificate"


Action = Create | Delete | Patch | Emit | Call | Certify


@dataclass(frozen=True, slots=True)
class Related:
    """Objects of the resource's namespace that it does not own and yet depends on: those with all of `labels`."""

    kind: Kind
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Probe:
    """Something to find out that no watch tells, such as a job's status from Ray's dashboard.

    `key` is where the answer will stand in `Observed.facts`; `call` names the question, `target` whom (a URL or an
    object), `about` what it is about. Asked again every `every_s` seconds for as long as it is requested. `secret`: the
    Secret whose token is shown (None: no token).
    """

    key: Hashable
    call: str
    target: str
    about: str = ""
    every_s: float = 5.0
    secret: Key | None = None


@dataclass(frozen=True, slots=True)
class Scaling:
    """That the operator itself scales the RayCluster, for as long as it is wanted.

    `host`, `port`: where its GCS is; `head`: the pod that must answer there. `secret`: the Secret whose token is shown
    (None: no token). `policy`: what the planner goes by.
    """

    host: str
    port: int
    head: str
    secret: Key | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What is to be done: actions in order, then the status (None: as it is), and when to look again at the latest.

    When an action is refused the others still run; the refusals are the next `Observed.failures`. `status` replaces the
    resource's; it is written only where it differs. `scaling`: None where the operator does not scale it (now).
    """

    actions: tuple[Action, ...] = ()
    status: Object | None = None
    again_s: float | None = None
    probes: tuple[Probe, ...] = ()
    scaling: Scaling | None = None
