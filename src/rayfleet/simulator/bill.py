"""What machines cost: paid from the accepted launch to the accepted release, `bill_least_s` at least."""

from __future__ import annotations

from rayfleet.model import UNITS, Market
from rayfleet.simulator.agenda import NEVER
from rayfleet.simulator.place import SimMachine
from rayfleet.simulator.tally import Span, Tally

_HOUR_S = 3600.0


class Bill:
    """Keeps levels of paid machines and money, and writes the span of each machine when it has ended."""

    def __init__(self, tally: Tally, bill_least_s: float) -> None:
        """Write to `tally`."""
        self._tally = tally
        self._least_s = bill_least_s
        self._open: dict[str, SimMachine] = {}

    def made(self, machine: SimMachine) -> None:
        """A machine is paid for from now on."""
        self._open[machine.id] = machine
        self._change(machine, machine.launched_at, 1)

    def released(self, machine: SimMachine, now: float) -> None:
        """A machine is paid for no more."""
        if self._open.pop(machine.id, None) is not None:
            self._change(machine, now, -1)
            self._write(machine, now, machine.end or "released")

    def close(self, now: float) -> None:
        """Account for machines that are still there at the end."""
        for machine in list(self._open.values()):
            self._write(machine, now, "running")
        self._open.clear()

    def _change(self, machine: SimMachine, now: float, sign: int) -> None:
        tally = self._tally
        tally.level("machines").add(now, sign)
        tally.level(f"machines {machine.pool.name}").add(now, sign)
        tally.level("usd_per_hour").add(now, sign * (machine.usd_per_hour or 0.0))
        for name, units in machine.pool.resources.items():
            tally.level(f"paid {name}").add(now, sign * units / UNITS)

    def _write(self, machine: SimMachine, now: float, how: str) -> None:
        tally, paid_s = self._tally, max(now - machine.launched_at, self._least_s)
        usd = (machine.usd_per_hour or 0.0) * paid_s / _HOUR_S
        market = machine.offer.market.value if machine.offer.market else Market.ON_DEMAND.value
        key = f"{machine.pool.name} {market}"
        tally.usd[key] = tally.usd.get(key, 0.0) + usd
        if machine.usd_per_hour is None:
            tally.unpriced_s += paid_s
        began = tally.began
        joined_s = None if machine.joined_at == NEVER else machine.joined_at - began
        tally.spans.append(
            Span(machine.pool.name, market, machine.launched_at - began, joined_s, now - began, how, usd)
        )
