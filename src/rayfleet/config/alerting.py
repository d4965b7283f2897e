"""What an alert is told about, and to whom, as a cluster's file says. Pure; secrets stay out of every `repr`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rayfleet.model import FrozenMap
from rayfleet.model.word import Word


class Rule(Word):
    """What can be wrong. These words are in files, messages and `--json`; they stay."""

    UNMET_DEMAND = "unmet_demand"
    LAUNCH_FAILURES = "launch_failures"
    STOCK_OUT = "stock_out"
    BUDGET = "budget"
    HEAD_DOWN = "head_down"
    CONTROLLER_DOWN = "controller_down"
    NODE_CHURN = "node_churn"
    ORPHAN = "orphan"
    RELEASE_STUCK = "release_stuck"
    LEDGER = "ledger"
    TICK_FAILED = "tick_failed"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Threshold:
    """From when on a rule is told. `for_s`: it has held for so long; `count`: so many, None: nothing is counted."""

    enabled: bool = True
    for_s: float = 0.0
    count: int | None = None


Thresholds = Mapping[Rule, Threshold]

THRESHOLDS: Final[FrozenMap[Threshold]] = FrozenMap(
    {
        Rule.UNMET_DEMAND: Threshold(for_s=600.0),
        Rule.LAUNCH_FAILURES: Threshold(count=3),
        Rule.STOCK_OUT: Threshold(for_s=60.0),
        Rule.BUDGET: Threshold(for_s=60.0),
        Rule.HEAD_DOWN: Threshold(for_s=30.0),
        Rule.CONTROLLER_DOWN: Threshold(for_s=60.0),
        Rule.NODE_CHURN: Threshold(count=30),
        Rule.ORPHAN: Threshold(),
        Rule.RELEASE_STUCK: Threshold(for_s=600.0),
        Rule.LEDGER: Threshold(for_s=30.0),
        Rule.TICK_FAILED: Threshold(),
        Rule.TROUBLE: Threshold(for_s=120.0),
    }
)
"""Every rule, as it is where the file says nothing."""


class TargetKind(Word):
    """How a message is given to whoever is at an address."""

    SLACK = "slack"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


@dataclass(frozen=True, slots=True)
class Target:
    """One address. `label` is how people are told of it; `address` and `secret` may be `env:NAME` or `file:PATH`."""

    kind: TargetKind
    label: str
    address: str = field(repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """Where e-mail goes, and the server that takes it. `security`: starttls, tls or none."""

    to: tuple[str, ...]
    server: str
    port: int
    security: str
    sender: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    label: str = "email"


DEFAULT_REPEAT_S: Final = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Alerting:
    """Who is told, of what, and how often the same is told again while it lasts."""

    targets: tuple[Target, ...] = ()
    mail: Mail | None = None
    thresholds: FrozenMap[Threshold] = THRESHOLDS
    repeat_s: float = DEFAULT_REPEAT_S

    @property
    def labels(self) -> tuple[str, ...]:
        """Return how the receivers are called, none of which is a secret."""
        return (*(target.label for target in self.targets), *((self.mail.label,) if self.mail else ()))

    def __bool__(self) -> bool:
        """Say whether anybody is told."""
        return bool(self.targets or self.mail)
