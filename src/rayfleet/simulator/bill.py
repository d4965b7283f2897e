"""What machines cost: paid from the accepted launch to the accepted release, `bill_least_s` at least.

On standby they have another price, and that time is no part of their life at work: each start begins another span.
"""

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
        self._resting: dict[str, tuple[SimMachine, float]] = {}

    def made(self, machine: SimMachine) -> None:
        """A machine is paid for from now on."""
        self._open[machine.id] = machine
        self._change(machine, machine.began_at, 1)

    def rests(self, machine: SimMachine, now: float) -> None:
        """A machine waits on standby from now on."""
        if self._open.pop(machine.id, None) is not None:
            self._change(machine, now, -1)
            self._write(machine, now, "stopped")
        self._resting[machine.id] = (machine, now)
        self._change_rest(machine, now, 1)

    def resumes(self, machine: SimMachine, now: float) -> None:
        """A machine that waited is at work again."""
        self._end_rest(machine.id, now)
        self.made(machine)

    def released(self, machine: SimMachine, now: float) -> None:
        """A machine is paid for no more."""
        self._end_rest(machine.id, now)
        if self._open.pop(machine.id, None) is not None:
            self._change(machine, now, -1)
            self._write(machine, now, machine.end or "released")

    def close(self, now: float) -> None:
        """Account for machines that are still there at the end."""
        for machine in list(self._open.values()):
            self._write(machine, now, "running")
        self._open.clear()
        for name in list(self._resting):
            self._end_rest(name, now)

    def _end_rest(self, name: str, now: float) -> None:
        machine, since = self._resting.pop(name, (None, now))
        if machine is not None:
            self._change_rest(machine, now, -1)
            usd = (machine.resting_usd_per_hour or 0.0) * (now - since) / _HOUR_S
            key = f"{machine.pool.name} standby"
            self._tally.usd[key] = self._tally.usd.get(key, 0.0) + usd

    def _change_rest(self, machine: SimMachine, now: float, sign: int) -> None:
        self._tally.level("standby").add(now, sign)
        self._tally.level("usd_per_hour").add(now, sign * (machine.resting_usd_per_hour or 0.0))

    def _change(self, machine: SimMachine, now: float, sign: int) -> None:
        tally = self._tally
        tally.level("machines").add(now, sign)
        tally.level(f"machines {machine.pool.name}").add(now, sign)
        tally.level("usd_per_hour").add(now, sign * (machine.usd_per_hour or 0.0))
        for name, units in machine.pool.resources.items():
            tally.level(f"paid {name}").add(now, sign * units / UNITS)

    def _write(self, machine: SimMachine, now: float, how: str) -> None:
        tally, paid_s = self._tally, max(now - machine.began_at, self._least_s)
        usd = (machine.usd_per_hour or 0.0) * paid_s / _HOUR_S
        market = machine.offer.market.value if machine.offer.market else Market.ON_DEMAND.value
        key = f"{machine.pool.name} {market}"
        tally.usd[key] = tally.usd.get(key, 0.0) + usd
        if machine.usd_per_hour is None:
            tally.unpriced_s += paid_s
        began = tally.began
        joined_s = None if machine.joined_at == NEVER else machine.joined_at - began
        tally.spans.append(Span(machine.pool.name, market, machine.began_at - began, joined_s, now - began, how, usd))
