"""The pretend world, as its file describes it: how long machines take, what they cost, and what goes wrong how often.

boot_s: lognormal(40, 0.2)
spot_interruptions_per_hour: 0.05
stock:
  - {pool: gpu, zone: a, machines: 4}
  - {market: spot, machines: 0, from_s: 3600, until_s: 7200}
pools:
  gpu: {boot_s: "normal(180, 20)", boot_failures: 0.02}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from rayfleet.config import ConfigInvalid
from rayfleet.config.document import read
from rayfleet.config.fields import wrong
from rayfleet.config.forms import Form, in_order, validate
from rayfleet.model import Market, OfferKey
from rayfleet.simulator.agenda import NEVER
from rayfleet.simulator.chance import Spread, always


def _spread(value: Any) -> Any:
    if isinstance(value, Spread):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong("must be a number or a distribution such as uniform(30, 60)")
    try:
        return Spread.parse(value)
    except ValueError as error:
        raise wrong(str(error), "for example 40, uniform(30, 60) or lognormal(40, 0.2)") from None


def _positive(value: Spread) -> Spread:
    if not all(value.numbers):
        raise wrong("must be above 0")
    return value


SpreadField = Annotated[Any, BeforeValidator(_spread)]
FactorField = Annotated[Any, BeforeValidator(_spread), AfterValidator(_positive)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Rate = Annotated[float, Field(ge=0, le=3600)]


class StockForm(Form):
    """At most so many machines of what the keys name, while it lasts."""

    pool: str = ""
    zone: str | None = None
    market: Market | None = None
    machines: Annotated[int, Field(ge=0)]
    from_s: Seconds = 0.0
    until_s: Seconds | None = None


class PoolForm(Form):
    """What is different for the machines of one pool."""

    boot_s: SpreadField = None
    start_s: SpreadField = None
    join_s: SpreadField = None
    boot_failures: Share | None = None
    usd_per_hour: Annotated[float, Field(ge=0)] | None = None


class SceneForm(Form):
    """The whole file."""

    boot_s: SpreadField = Spread("lognormal", (40.0, 0.2))
    start_s: SpreadField = Spread("lognormal", (15.0, 0.2))
    join_s: SpreadField = Spread("uniform", (3.0, 6.0))
    stop_s: SpreadField = always(15.0)
    boot_failures: Share = 0.0
    crashes_per_hour: Rate = 0.0
    spot_interruptions_per_hour: Rate = 0.0
    spot_notice_s: Seconds = 120.0
    detect_s: Seconds = 15.0
    api_s: SpreadField = always(0.5)
    api_errors: Share = 0.0
    list_interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    list_delay_s: Seconds = 0.0
    engine_outages_per_day: Rate = 0.0
    engine_outage_s: Seconds = 60.0
    drains_refused: Share = 0.0
    controller_restarts_per_day: Rate = 0.0
    run_time: FactorField = always(1.0)
    price: FactorField = always(1.0)
    price_every_s: Annotated[float, Field(ge=60, le=1e9)] = 3600.0
    bill_least_s: Seconds = 60.0
    wait_goal_s: Seconds = 60.0
    stock: Annotated[list[StockForm], Field(default_factory=list)]
    pools: Annotated[dict[str, PoolForm], Field(default_factory=dict)]


@dataclass(frozen=True, slots=True)
class Stock:
    """At most `machines` of the offers that `scope` covers, between two moments (seconds from the beginning)."""

    scope: OfferKey
    machines: int
    from_s: float = 0.0
    until_s: float = NEVER


@dataclass(frozen=True, slots=True)
class PoolScene:
    """What is different for one pool; None: as everywhere."""

    boot_s: Spread | None = None
    start_s: Spread | None = None
    join_s: Spread | None = None
    boot_failures: float | None = None
    usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """The pretend world. Times in seconds, shares from 0 to 1, rates per machine and hour (outages, restarts: per day).

    `boot_s`: from an accepted launch to a running machine; `start_s`: the same for one that was stopped on standby;
    `join_s`: from there to its node; `stop_s`: from a release until it is gone, or at rest.
    `boot_failures`: share of machines that fail while they boot, half of them silently (their node never joins).
    `crashes_per_hour`: machines that vanish. `spot_notice_s`: how long before it goes an interrupted spot machine is
    announced. `detect_s`: how long Ray takes to notice a node that is gone. `api_s`: how long a provider's
    call takes; `api_errors`: share of calls that end in Flaky, half of the launches among them after they have made
    their machines. `list_delay_s`: how old listings are. `drains_refused`: share of voluntary drains that Ray refuses
    although the node is idle. `controller_restarts_per_day`: how often another controller takes over. `run_time`,
    `price`: factors on the trace's durations (per task) and on the offers' prices (anew every `price_every_s`, for each
    offer). `bill_least_s`: a machine is paid for so long at least. `wait_goal_s`: work that waits longer is late.
    """

    boot_s: Spread = Spread("lognormal", (40.0, 0.2))
    start_s: Spread = Spread("lognormal", (15.0, 0.2))
    join_s: Spread = Spread("uniform", (3.0, 6.0))
    stop_s: Spread = always(15.0)
    boot_failures: float = 0.0
    crashes_per_hour: float = 0.0
    spot_interruptions_per_hour: float = 0.0
    spot_notice_s: float = 120.0
    detect_s: float = 15.0
    api_s: Spread = always(0.5)
    api_errors: float = 0.0
    list_interval_s: float = 10.0
    list_delay_s: float = 0.0
    engine_outages_per_day: float = 0.0
    engine_outage_s: float = 60.0
    drains_refused: float = 0.0
    controller_restarts_per_day: float = 0.0
    run_time: Spread = always(1.0)
    price: Spread = always(1.0)
    price_every_s: float = 3600.0
    bill_least_s: float = 60.0
    wait_goal_s: float = 60.0
    stock: tuple[Stock, ...] = ()
    pools: dict[str, PoolScene] = field(default_factory=dict)

    def pool(self, name: str) -> PoolScene:
        """Return what is different for a pool."""
        return self.pools.get(name, _LIKE_ALL)


_LIKE_ALL = PoolScene()


def read_scene(path: Path) -> Scene:
    """Read a world file (YAML or JSON).

    Raises:
        ConfigInvalid: with everything that is wrong with it.
        OSError: it cannot be read.
    """
    return parse_scene(path.read_text(encoding="utf-8"), path.name)


def parse_scene(text: str, file: str) -> Scene:
    """Read the text of a world file.

    Raises:
        ConfigInvalid: with everything that is wrong with it.
    """
    form, problems = validate(SceneForm, read(text, file), empty=True)
    if form is None:
        raise ConfigInvalid(in_order(problems))
    plain = {name: getattr(form, name) for name in SceneForm.model_fields if name not in ("stock", "pools")}
    pools = {
        name: PoolScene(**{key: getattr(of, key) for key in PoolForm.model_fields}) for name, of in form.pools.items()
    }
    return Scene(**plain, stock=tuple(_stock(row) for row in form.stock), pools=pools)


def _stock(form: StockForm) -> Stock:
    scope = OfferKey(form.pool, zone=form.zone, market=form.market)
    return Stock(scope, form.machines, form.from_s, NEVER if form.until_s is None else form.until_s)
