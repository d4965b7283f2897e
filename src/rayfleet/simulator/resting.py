"""The place with machines on standby: they are made to wait, stopped, and started again.

    made to wait --boot_s, stop_s--> at rest --start--> (start_s) running --join_s--> node
                                        ^----------------stop, stop_s----------'

A machine that waits booted is at rest at once and runs at once when it is started. Its place is kept: no stock is asked
to start it.
"""

from __future__ import annotations

from dataclasses import replace

from rayfleet.contracts import Gone, LaunchRequest, MachineState
from rayfleet.model import Offer, StandbyMode
from rayfleet.simulator.agenda import NEVER
from rayfleet.simulator.place import Place, SimMachine


class RestingPlace(Place):
    """The place, and the contract `KeepsStandby`."""

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Make the request's machines to wait."""
        await self._called()
        self._maybe_flaky("the request was not answered")
        self._make(request, rests=mode)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        """Begin to have machines wait."""
        await self._called()
        self._maybe_flaky("the stop was not answered")
        for machine_id in machine_ids:
            machine = self.existing.get(machine_id)
            if machine is not None and machine.released_at == NEVER and machine.rests is None:
                self._stop(machine, mode)

    async def start(self, request: LaunchRequest) -> None:
        """Begin to start machines that wait."""
        await self._called()
        self._maybe_flaky("the start was not answered")
        known = [self.existing[name] for name in request.reuse if name in self.existing]
        known = [machine for machine in known if machine.released_at == NEVER]
        if not known:
            raise Gone(f"none of {', '.join(request.reuse)} exists any more")
        for machine in known:
            if machine.at_rest and request.batch not in machine.starts:
                machine.starts.add(request.batch)
                self._start(machine)

    def _stop(self, machine: SimMachine, mode: StandbyMode) -> None:
        machine.era += 1
        machine.rests = mode
        self._show(machine, replace(machine.shown, state=MachineState.STOPPING))
        self._rest_is_paid(machine)
        self._doors.dies(machine, at_once=True)
        self._doors.ended(machine)
        stopped = mode is StandbyMode.STOPPED
        after_s = self._scene.stop_s.draw(self._chance["stop"]) if stopped else 0.0
        self._agenda.at(self._agenda.now + after_s, self._comes_to_rest, machine, machine.era)

    def _comes_to_rest(self, machine: SimMachine, era: int) -> None:
        if machine.released_at == NEVER and machine.gone_at == NEVER and machine.era == era:
            machine.at_rest = True
            self._show(machine, replace(machine.shown, state=MachineState.STANDBY))

    def _booted_to_rest(self, machine: SimMachine) -> None:
        """A machine that was made to wait is up: it is stopped, or waits as it is."""
        mode = machine.rests or StandbyMode.STOPPED
        machine.rests = None
        self._stop(machine, mode)

    def _start(self, machine: SimMachine) -> None:
        stopped = machine.rests is StandbyMode.STOPPED
        spread = self._scene.pool(machine.pool.name).start_s or self._scene.start_s
        after_s = spread.draw(self._chance["start"]) if stopped else 0.0
        machine.era += 1
        machine.run += 1
        machine.rests, machine.at_rest = None, False
        machine.began_at, machine.running_at, machine.joined_at = self._agenda.now, NEVER, NEVER
        self.counts.started += 1
        self._doors.resumes(machine)
        self._show(machine, replace(machine.shown, state=MachineState.STARTING))
        self._agenda.at(self._agenda.now + after_s, self._boots, machine, self._fate(machine), machine.era)

    def _rest_is_paid(self, machine: SimMachine) -> None:
        """Say what a machine costs from now on."""
        key = machine.offer
        offer = next((o for o in machine.pool.offers if o.key(machine.pool.name) == key), Offer(machine.usd_per_hour))
        booted = machine.rests is StandbyMode.BOOTED
        machine.resting_usd_per_hour = machine.usd_per_hour if booted else offer.standby_usd_per_hour
        self._doors.rests(machine)
