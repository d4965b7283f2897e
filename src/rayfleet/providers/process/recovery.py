"""What a new controller makes of what an earlier one wrote, seen beside the processes that really run. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rayfleet.contracts import StartScript
from rayfleet.model import OfferKey
from rayfleet.providers.process.leftovers import Leftover
from rayfleet.providers.process.record import Record, Stage

LOST: Final = "its record is lost; it can only be ended"
REBOOTED: Final = "this computer was restarted"


def met_again(record: Record, boot: str, own: Sequence[Leftover]) -> Record:
    """Return what is true of `record` now. `own`: the living processes that carry the machine's tag."""
    if record.stage in (Stage.QUEUED, Stage.FAILED, Stage.RESTING):
        return record
    if record.boot != boot:
        lost = replace(record, process=None)
        return lost if record.stage is Stage.STOPPING else replace(lost, stage=Stage.FAILED, message=REBOOTED)
    return record if record.process is not None else _without_process(record, own)


def _without_process(record: Record, own: Sequence[Leftover]) -> Record:
    """The controller died between writing the record and writing which process it became."""
    leader = next((found.key for found in own if found.leader), None)
    if leader is not None:
        return replace(record, process=leader)
    if own or record.stage is Stage.STOPPING:
        return record
    return replace(record, stage=Stage.QUEUED, attempt=record.attempt - 1)


def without_record(machine_id: str) -> Record:
    """Stand in for a machine of which only the name is known: it can be listed, and released."""
    return Record(
        id=machine_id,
        slot=("", machine_id, 0),
        offer=OfferKey(""),
        script=StartScript(()),
        head=False,
        queued_at=0.0,
        stage=Stage.FAILED,
        message=LOST,
    )
